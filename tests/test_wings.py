"""The wings of `utils`: a wing imports only those before it. `python -m tests.test_wings` lists what each imports."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# From the first to the last; a wing is a folder of `utils` or some files at its root.
WINGS = {
    "basics": ("errors", "files", "progress"),
    "runtime": ("runtime",),
    "data": ("data",),
    "features": ("features",),
    "model": ("model",),
    "captioner": ("captioner",),
    "outputs": ("outputs",),
    "evaluation": ("evaluation",),
    "training": ("training",),
    "notebook": ("notebook",),
    "console": ("console",),
    "benchmark": ("benchmark",),
}

# Files that belong to no wing, since nothing may import them.
_APART = {"prepare"}


def wing_of(module):
    """The wing of a module such as `utils.data.images`; None for the package `utils` itself."""
    part = module.split(".")[1] if "." in module else None
    return next((wing for wing, parts in WINGS.items() if part in parts), None)


def read_imports():
    """For each module of `utils`, the set of modules of `utils` that it imports anywhere, in functions too."""
    paths = sorted((ROOT / "utils").rglob("*.py"))
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    graph = {}
    for name, path in modules.items():
        graph[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                # `from utils.data import images` names a module, `from utils.data.images import x` a name in one.
                assert node.level == 0, f"{path}:{node.lineno}: relative import"
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                found = [each if each in modules else node.module for each in whole]
            else:
                continue
            for each in found:
                if each.split(".")[0] == "utils":
                    assert each in modules and each != "utils", f"{path}:{node.lineno}: no module {each}"
                    graph[name].add(each)
    return graph


def find_circle(graph):
    """Modules that import each other in a circle, as a list whose last is its first; [] if there is none."""
    done = set()

    def visit(module, trail):
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module not in done:
            for other in sorted(graph[module]):
                if circle := visit(other, [*trail, module]):
                    return circle
            done.add(module)
        return []

    return next((circle for module in graph if (circle := visit(module, []))), [])


def test_every_module_is_in_a_wing():
    parts = {module.split(".")[1] for module in read_imports() if module != "utils"}
    assert parts == {part for wing in WINGS.values() for part in wing} | _APART


def test_a_wing_imports_only_those_before_it():
    order = list(WINGS)
    late = [
        f"{module} imports {other}"
        for module, others in read_imports().items()
        for other in others
        if wing_of(module) and order.index(wing_of(other)) > order.index(wing_of(module))
    ]
    assert late == []


def test_no_modules_import_each_other_in_a_circle():
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_circle(read_imports()) == []


def main():
    """Print, for each wing, its files and lines and the wings that it imports."""
    graph = read_imports()
    for wing, parts in WINGS.items():
        modules = [module for module in graph if wing_of(module) == wing]
        used = {wing_of(other) for module in modules for other in graph[module]} - {wing}
        folders = [ROOT / "utils" / part for part in parts]
        paths = [
            path for each in folders for path in (each.rglob("*.py") if each.is_dir() else [each.with_suffix(".py")])
        ]
        lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)
        print(f"{wing:10}  {len(paths):2} files  {lines:5} lines  imports {', '.join(w for w in WINGS if w in used)}")


if __name__ == "__main__":
    main()
