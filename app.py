"""A page that captions photos: `python app.py`, then open the address it prints."""

import os
from pathlib import Path

from utils import console

DESCRIPTION = """Serve a page on this machine: drop a photo, read its caption, and hover a
word (or reach it with the Tab key) to see where the model looked."""


def parse_arguments(arguments=None):
    """The command line as a namespace."""
    parser = console.Parser(DESCRIPTION)
    parser.add_argument(
        "--model", type=Path, default=Path("models/flickr8k"), help="the model folder (default: models/flickr8k)"
    )
    parser.add_argument("--encoder_weights", help="where the encoder's weights are, if not where they were in training")
    parser.add_argument("--beam_size", type=console.number(int, 1, 100), default=3, help="hypotheses kept (default: 3)")
    parser.add_argument("--port", type=console.number(int, 1, 65535), default=7860, help="default: 7860")
    return parser.parse_args(arguments)


def make_page(captioner, beam_size=3):
    """The page, as gradio.Blocks, for a Captioner."""
    import gradio

    from utils.data.images import sample_photo
    from utils.errors import ImageError
    from utils.outputs.attention_html import attention_html

    def show(path):
        if path is None:
            return ""
        try:
            return attention_html(captioner.caption([path], beam_size)[0])
        except ImageError as error:
            raise gradio.Error(str(error), print_exception=False) from None

    with gradio.Blocks(title="What is in the photo?", analytics_enabled=False) as page:
        gradio.Markdown("# What is in the photo?\nDrop a photo. Then point at a word to see where the model looked.")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=300):
                # Lossless, so that a caption is the one that inference.py writes.
                photo = gradio.Image(
                    type="filepath", format="png", sources=["upload", "webcam", "clipboard"], label="Photo", height=300
                )
                gradio.Examples([str(sample_photo())], photo)
            with gradio.Column(scale=2, min_width=300):
                answer = gradio.HTML(label="Caption")
        photo.change(show, photo, answer, show_progress="minimal")
        gradio.Markdown(
            "The caption is a guess by a small model. Do not rely on it, and do not use it to judge people. "
            "Photos stay on the machine that runs this page."
        )
    return page


def serve(page, **options):
    """Launch the page, with `options` of gradio.Blocks.launch."""
    import gradio

    # Fonts of the machine, so that nothing is fetched from elsewhere.
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    return page.launch(theme=theme, **options)


def main():
    """Serve, from the arguments to the page."""
    arguments = parse_arguments()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from utils.model.model_folder import read_config

    read_config(arguments.model)
    try:
        import gradio  # noqa: F401
    except ImportError:
        console.fail("the page needs Gradio: pip install -r requirements-app.txt")
    console.import_keras()
    from utils.captioner import Captioner

    page = make_page(Captioner.from_folder(arguments.model, arguments.encoder_weights), arguments.beam_size)
    try:
        serve(page, server_port=arguments.port)
    except OSError as error:
        console.fail(f"port {arguments.port} cannot be opened ({error}); choose another --port")
    return 0


if __name__ == "__main__":
    console.run(main)
