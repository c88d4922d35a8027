import pytest

from utils.runtime import hardware


@pytest.fixture(autouse=True)
def _nothing_is_remembered():
    hardware.bfloat16_is_faster.cache_clear()
    yield
    hardware.bfloat16_is_faster.cache_clear()


@pytest.mark.parametrize(
    ("flags", "capabilities", "precision"),
    [
        ("fpu avx2 avx512f", [], "float32"),
        ("fpu avx512f avx512_bf16", [], "bfloat16"),
        ("fpu amx_bf16", [], "bfloat16"),
        ("fpu avx512_bf16", [7], "float32"),
        ("fpu avx2", [9, 8], "bfloat16"),
        (None, [], "float32"),
    ],
)
def test_the_gpu_or_the_processors_flags_determine_the_precision(tmp_path, monkeypatch, flags, capabilities, precision):
    file = tmp_path / "cpuinfo"
    if flags:
        file.write_text(f"model name\t: Some\nflags\t\t: {flags}\nbugs\t: x\n")
    monkeypatch.setattr(hardware, "_CPU_INFO", file)
    monkeypatch.setattr(hardware, "_gpu_capabilities", lambda: capabilities)
    assert hardware.choose_precision() == precision
    assert hardware.choose_precision("float32") == "float32"
    assert hardware.dtype_policy("bfloat16") == "mixed_bfloat16"
