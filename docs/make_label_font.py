"""Make the letters that label pictures of `vsrpp compare`: evaluation/comparison/lettering.png.

    python docs/make_label_font.py

Aileron (dotcolon.net, CC0), as Pillow carries it: the printable characters of ASCII in a row. The
first row of pixels is white where a character begins, and after the last one.
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

TARGET = Path(__file__).parents[1] / "src/vsrpp_cli/evaluation/comparison/lettering.png"
CHARACTERS = [chr(code) for code in range(32, 127)]
SIZE = 40
"""Pixels to an em; labels are made smaller from there."""
BESIDE = 1
"""Pixels beside each character, so that none touches the next one's when it is made smaller."""


def main() -> None:
    """Draw them."""
    font = ImageFont.load_default(size=SIZE)
    assert isinstance(font, ImageFont.FreeTypeFont)
    widths = [round(font.getlength(character)) + 2 * BESIDE for character in CHARACTERS]
    sheet = Image.new("L", (sum(widths) + 1, sum(font.getmetrics()) + 1))
    draw = ImageDraw.Draw(sheet)
    x = 0
    for character, width in zip(CHARACTERS, widths, strict=True):
        draw.text((x + BESIDE, 1), character, 255, font)
        sheet.putpixel((x, 0), 255)
        x += width
    sheet.putpixel((x, 0), 255)
    sheet.save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
