"""Pictures, drawn when asked for and told by their signature."""

import hashlib
import io

from fastapi import APIRouter, HTTPException

router = APIRouter(prefix="/api")
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
FORMATS = ("png", "jpeg", "webp", "gif", "tiff", "bmp", "ico", "ppm", "pdf")


def sign(picture):
    return hashlib.sha256(picture.convert("RGBA").tobytes()).hexdigest()


@router.get("/picture/{kind}")
def picture(kind: str, size: int = 64):
    """Saves a picture in the format and reads it back."""
    from PIL import Image, ImageFilter

    if kind not in FORMATS:
        raise HTTPException(404, "no such format")
    out = io.BytesIO()
    drawn = Image.radial_gradient("L").resize((size, size), Image.Resampling.LANCZOS)
    drawn = Image.merge("RGB", (drawn, drawn.rotate(90), drawn.filter(ImageFilter.FIND_EDGES)))
    drawn.save(out, kind)
    if kind == "pdf":  # it is written only, with the date in it
        return {"start": out.getvalue()[:8].decode()}
    back = Image.open(out)
    return {"format": back.format, "size": back.size, "sha256": sign(back)}


@router.get("/label/{text}")
def label(text: str, points: int = 24):
    """Writes with a font of the system."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(FONT, points)
    box = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), text, font=font)
    drawn = Image.new("L", (int(box[2]) + 4, int(box[3]) + 4))
    ImageDraw.Draw(drawn).text((2, 2), text, 255, font)
    return {"font": font.getname(), "size": drawn.size, "sha256": sign(drawn)}


@router.get("/profile")
def profile():
    """Through LittleCMS, from one colour space to another."""
    from PIL import Image, ImageCms

    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    change = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    return ImageCms.applyTransform(Image.new("RGB", (1, 1), "rebeccapurple"), change).getpixel((0, 0))
