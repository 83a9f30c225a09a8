"""Pictures of every kind become upright uint8 RGB or a clear error; placements are exact."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ltsh_deploy.descriptions import RESIZE_RULE
from ltsh_deploy.errors import ImageError, UsageError
from ltsh_deploy.image_headers import is_animated, read_header
from ltsh_deploy.images import PADDING, apply, check_image, place, read_image
from ltsh_deploy.jpeg_files import MAX_PARTS, JpegWalk, has_more_scans

# Four quarters of unlike colours: no rotation, mirror image or swap of channels looks like another.
QUARTERS = np.zeros((48, 80, 3), np.uint8)
QUARTERS[:24, :40], QUARTERS[:24, 40:], QUARTERS[24:, :40], QUARTERS[24:, 40:] = (
    (220, 20, 20), (20, 200, 20), (20, 20, 210), (230, 230, 230),
)  # fmt: skip
SMOOTH = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8), (7, 7), 0)


def encode(image: npt.NDArray[Any] | Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, kind, **options)
    return stream.getvalue()


def difference(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    assert a.shape == b.shape
    return float(np.median(np.abs(a.astype(int) - b.astype(int))))


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_of_size(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "PPM"])
def test_every_format_gives_its_colours(kind: str) -> None:
    image = read_image(encode(QUARTERS, kind))
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert difference(image, QUARTERS) <= 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    data = encode(QUARTERS, kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert difference(read_image(data), np.asarray(upright)) <= 6


@pytest.mark.parametrize("orientation", [1, 5, 6])
def test_alpha_does_not_lose_the_orientation(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    data = encode(np.dstack([QUARTERS, np.full(QUARTERS.shape[:2], 255, np.uint8)]), "PNG", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert difference(read_image(data), np.asarray(upright)) == 0


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})])
def test_transparent_parts_are_blended_over_white(kind: str, options: dict[str, Any]) -> None:
    alpha = np.zeros(QUARTERS.shape[:2], np.uint8)
    alpha[:, 30:] = 128
    alpha[:, 60:] = 255
    data = encode(np.dstack([QUARTERS, alpha]), kind, **options)
    weight = alpha[:, :, None] / 255
    assert np.abs(read_image(data) - (QUARTERS * weight + 255 * (1 - weight))).max() <= 1.5


def test_transparent_palette_entry_is_white() -> None:
    palette = Image.fromarray(QUARTERS).quantize(4)
    first = palette.getpixel((0, 0))
    image = read_image(encode(palette, "PNG", transparency=first))
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[-1, 0].tolist() != [255, 255, 255]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_pictures_keep_their_upper_bits(kind: str) -> None:
    deep = np.arange(60 * 90, dtype=np.uint16).reshape(60, 90) * 12
    image = read_image(encode(Image.fromarray(deep), kind))
    np.testing.assert_array_equal(image, np.repeat((deep >> 8).astype(np.uint8)[:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    ("kind", "modes"),
    [("JPEG", "L CMYK"), ("PNG", "L 1 P"), ("TIFF", "L 1 P CMYK"), ("BMP", "L 1 P"), ("GIF", "L P"), ("WEBP", "L")],
)
def test_grey_bilevel_palette_and_cmyk(kind: str, modes: str) -> None:
    for mode in modes.split():
        picture = Image.fromarray(QUARTERS).convert(mode)
        assert difference(read_image(encode(picture, kind)), np.asarray(picture.convert("RGB"))) <= 6


def test_one_pixel_and_very_long_pictures() -> None:
    assert read_image(encode(QUARTERS[:1, :1], "PNG")).tolist() == [[[220, 20, 20]]]
    long = np.random.default_rng(0).integers(0, 255, (20, 20000, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(encode(long, "PNG")), long)
    assert read_image(encode(np.full((20, 20000, 3), 90, np.uint8), "JPEG")).shape == (20, 20000, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "PPM"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
def test_cut_off_pictures_are_errors(kind: str, part: float, capfd: pytest.CaptureFixture[str]) -> None:
    data = encode(SMOOTH, kind)
    with pytest.raises(ImageError, match=r"holiday\.pic"):
        read_image(data[: int(len(data) * part)], "holiday.pic")
    assert capfd.readouterr().err == ""


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.booleans())
def test_a_jpeg_with_a_thumbnail_is_whole_only_when_whole(part: float, progressive: bool) -> None:
    thumbnail = encode(QUARTERS, "JPEG")
    exif = b"Exif\0\0" + thumbnail
    data = encode(SMOOTH, "JPEG", progressive=progressive, exif=exif)
    assert thumbnail in data
    read_image(data + b"trailing bytes \xff\xd8\xff")
    with pytest.raises(ImageError):
        read_image(data[: int(len(data) * part)])


def test_damage_under_a_png_checksum_is_found_and_other_damage_ignored(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encode(SMOOTH, "PNG"))
    data[len(data) // 2] ^= 1
    with pytest.raises(ImageError, match="checksum"):
        read_image(bytes(data))
    assert capfd.readouterr().err == ""
    text = struct.pack(">I", 3) + b"tEXt" + b"a\0b" + b"bad!"
    whole = encode(SMOOTH, "PNG")
    np.testing.assert_array_equal(read_image(whole[:33] + text + whole[33:]), SMOOTH)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "PPM"]), st.data())
def test_damaged_bytes_give_a_picture_or_an_image_error(kind: str, data: st.DataObject) -> None:
    picture = bytearray(encode(QUARTERS, kind))
    for _ in range(data.draw(st.integers(1, 6))):
        picture[data.draw(st.integers(0, len(picture) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = read_image(bytes(picture), max_pixels=1 << 16)
    except ImageError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[0] * image.shape[1] <= 1 << 16


def test_bombs_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(ImageError, match="60000 x 60000 pixels are more than the limit"):
        read_image(png_of_size(60_000, 60_000), "bomb.png")
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "PPM"):
        data = encode(SMOOTH, kind)
        header = read_header(data)
        assert header is not None
        assert header.size == (90, 60)
        with pytest.raises(ImageError, match="limit of 5399"):
            read_image(data, max_pixels=90 * 60 - 1)


def chunks_of(name: bytes, *bodies: bytes) -> bytes:
    """Chunks of a WebP."""
    return b"".join(name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2) for body in bodies)


def riff(data: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WEBP" + data


def lying_pictures() -> dict[str, bytes]:
    """Pictures of 200 x 200 pixels that say in one place how large they are, and in another that they are tiny."""
    large = np.zeros((200, 200, 3), np.uint8)
    heads = [struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0) for side in (200, 8)]
    data = (b"IDAT", zlib.compress(bytes(200 * 601))), (b"IEND", b"")
    jpeg = encode(large, "JPEG")
    frame = jpeg[jpeg.index(b"\xff\xc0") :][:19]
    tiny = frame[:5] + struct.pack(">HH", 8, 8) + frame[9:]
    webp = encode(large, "WEBP", lossless=True)[12:]
    canvas = chunks_of(b"VP8X", bytes(4) + struct.pack("<I", 7)[:3] + struct.pack("<I", 7)[:3])
    tags = [(256, 200), (257, 200), (256, 8), (257, 8)]
    tiff = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    tiff += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4)
    codestream = b"\xff\x4f\xff\x51" + struct.pack(">HHIIII", 47, 0, 8, 8, 0, 0)
    jp2 = encode(large, "JPEG2000")
    avif = encode(large, "AVIF")
    return {
        "PNG, first": png([(b"IHDR", heads[0]), (b"IHDR", heads[1]), *data]),
        "PNG, last": png([(b"IHDR", heads[1]), (b"IHDR", heads[0]), *data]),
        "WebP, first": riff(webp + canvas),
        "WebP, last": riff(canvas + webp),
        "JPEG, first": jpeg.replace(frame, frame + tiny),
        "JPEG, last": jpeg.replace(frame, tiny + frame),
        "TIFF, first": tiff,
        "TIFF, signed": struct.pack("<2sHIH", b"II", 42, 8, 2)
        + b"".join(struct.pack("<HHIi", tag, 9, 1, 200) for tag in (256, 257))
        + bytes(4),
        "TIFF, its tile": struct.pack("<2sHIH", b"II", 42, 8, 4)
        + b"".join(struct.pack("<HHII", *tag) for tag in ((256, 4, 1, 8), (257, 4, 1, 8)))
        + b"".join(struct.pack("<HHII", *tag) for tag in ((322, 4, 1, 1 << 20), (323, 4, 1, 64)))
        + bytes(4),
        "PNM, in a comment": b"P6 #\r200 200\n8 8\n255\n" + bytes(300),
        "JPEG 2000, in another box": jp2[:12] + struct.pack(">I4s", 8 + 24, b"free") + codestream + jp2[12:],
        "AVIF, behind the data": avif[:32] + struct.pack(">I4s", 8, b"mdat") + avif[32:],
    }


@pytest.mark.parametrize("name", lying_pictures())
def test_the_largest_size_counts_that_a_picture_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it is decoded"))
    with pytest.raises(ImageError, match="pixels are more than the limit of 10000"):
        read_image(lying_pictures()[name], max_pixels=10_000)
    # And where it would be allowed, a decoder that believes the other size does not get it.
    header = read_header(lying_pictures()[name])
    assert header is not None
    assert bool(header.fault) == (header.kind in ("PNG", "WebP", "JPEG"))


def test_a_deep_picture_takes_little_more_than_itself() -> None:
    data = cv2.imencode(".png", np.zeros((1000, 1000, 4), np.uint16))[1].tobytes()
    tracemalloc.start()
    try:
        read_image(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 15 bytes a pixel: 8 as decoded, and the stages of blending. A shifted copy would make it 20.
    assert peak < 17 * 1000 * 1000


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff\xd9", b"P6 #" + b"x" * 5000 + b"\n200 200\n255\n", b"II\x2a\0\x08\0\0\0" + bytes(60)]
)
def test_a_picture_that_does_not_say_its_size_is_not_decoded(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it is decoded"))
    with pytest.raises(ImageError, match="does not say how large it is"):
        read_image(data)


def test_a_walk_over_millions_of_empty_parts_is_given_up() -> None:
    many = MAX_PARTS + 1
    whole = {kind: encode(QUARTERS, kind) for kind in ("JPEG", "PNG", "WEBP")}
    empty = struct.pack(">I", 0) + b"tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))
    for data in (
        whole["JPEG"][:2] + b"\xff\xfe\0\2" * many + whole["JPEG"][2:],
        whole["PNG"][:33] + empty * many + whole["PNG"][33:],
        riff(whole["WEBP"][12:] + chunks_of(b"JUNK", *[b""] * many)),
    ):
        with pytest.raises(ImageError, match="damaged"):
            read_image(data)
    # Restarts are no segments: large pictures have very many.
    assert read_image(whole["JPEG"][:2] + b"\xff\xd0" * many + whole["JPEG"][2:]).shape == QUARTERS.shape


def test_scans_are_counted_to_the_end_of_the_picture() -> None:
    data = encode(SMOOTH, "JPEG", progressive=True)
    scans = data.count(b"\xff\xda")
    assert scans > 3
    assert has_more_scans(data, scans - 1)
    assert not has_more_scans(data, scans)
    assert not has_more_scans(data + b"\xff\xda" * 500, scans)
    # What looks like the picture's end, in a comment between two scans, hides nothing that comes after.
    last = data.rindex(b"\xff\xda")
    hidden = data[:last] + b"\xff\xfe\0\x04\xff\xd9" + data[last:]
    assert has_more_scans(hidden, scans - 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (bytes(5000), "nothing but zeros"),
        (b"hello, this is text", "not a picture of a known kind"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "not a picture of a known kind"),
        (b"\xff\xd8\xff", "end is missing"),
        (png_of_size(10, 10), "damaged"),
        (png([(b"IHDR", b"")]), "end is missing"),
    ],
)
def test_what_is_no_picture_is_an_error_with_a_remedy(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(path)
    assert str(path) in caught.value.message
    assert caught.value.remedy


def test_floating_point_pictures_are_refused() -> None:
    with pytest.raises(ImageError, match="float32, which have no agreed range"):
        read_image(encode(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))


@pytest.mark.parametrize("path", ["missing.jpg", ".", "nul\0byte.jpg", "/dev/zero"])
def test_paths_that_are_no_picture_files(path: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        read_image(os.path.join(tmp_path, path))  # noqa: PTH118  (keeps the NUL)


def test_the_written_rule_names_the_padding_that_is_used() -> None:
    assert RESIZE_RULE.endswith(f"pad right and bottom with {PADDING}")


def test_animations_are_recognised() -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (0, 128, 255)]
    for kind in ("GIF", "PNG"):
        animation = encode(frames[0], kind, save_all=True, append_images=frames[1:], loop=0, duration=40)
        assert is_animated(io.BytesIO(animation))
        assert not is_animated(io.BytesIO(encode(frames[0], kind)))
    # A file that does not ask to be shown again and again is an animation all the same.
    once = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=40)
    assert b"NETSCAPE" not in once
    assert is_animated(io.BytesIO(once))


@given(st.integers(0, 400), st.integers(0, 255))
def test_damaged_animations_are_looked_at_without_trouble(position: int, value: int) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (0, 128)]
    data = bytearray(encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=40))
    data[position % len(data)] = value
    is_animated(io.BytesIO(data))
    is_animated(io.BytesIO(data[:position]))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 500), st.booleans())
def test_the_end_of_a_jpeg_is_found_whatever_the_pieces(step: int, progressive: bool) -> None:
    data = encode(SMOOTH, "JPEG", progressive=progressive)
    walk, buffer, end = JpegWalk(), bytearray(), None
    stream = data + encode(QUARTERS, "JPEG")
    for start in range(0, len(stream), step):
        buffer += stream[start : start + step]
        end = walk.find_end(buffer)
        if end is not None:
            break
    assert end == len(data)
    assert walk.whole
    assert walk.sizes == [(90, 60)]


def test_arrays_are_checked() -> None:
    assert check_image(SMOOTH) is SMOOTH
    mirrored = check_image(SMOOTH[:, ::-1])
    assert mirrored.flags.c_contiguous
    np.testing.assert_array_equal(mirrored, SMOOTH[:, ::-1])
    for grey in (SMOOTH[:, :, 0], SMOOTH[:, :, :1]):
        np.testing.assert_array_equal(check_image(grey), np.repeat(SMOOTH[:, :, :1], 3, axis=2))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (SMOOTH.astype(np.float32) / 255, "float32.*astype"),
        (SMOOTH.astype(np.uint16), "uint16.*astype"),
        (SMOOTH.transpose(2, 0, 1), r"\[3, 60, 90\].*transpose"),
        (np.zeros((4, 4, 4), np.uint8), r"\[4, 4, 4\].*alpha"),
        (np.zeros((0, 4, 3), np.uint8), "at least one pixel"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"\[2, 4, 4, 3\]"),
        (Image.fromarray(SMOOTH), "PIL.*asarray"),
        ([[1, 2], [3, 4]], "builtins.list.*asarray"),
        (None, "NoneType"),
        ("cat.jpg", "builtins.str.*read_image"),
    ],
)
def test_other_arrays_are_errors_that_say_how_to_convert(image: object, words: str) -> None:
    with pytest.raises(ImageError, match=f"(?s){words}"):
        check_image(image)


sides = st.integers(1, 3000)
boxes = st.tuples(st.integers(1, 1000), st.integers(1, 1000))


@settings(max_examples=300, deadline=None)
@given(st.tuples(sides, sides), boxes, st.sampled_from([1, 2, 8, 32]), st.floats(0.2, 2))
def test_placements_fit_and_keep_the_aspect(
    size: tuple[int, int], box: tuple[int, int], stride: int, scale: float
) -> None:
    placement = place(size, box, stride, scale)
    limits = [max(1, int(side * scale)) for side in box]
    factor = min(limits[0] / size[0], limits[1] / size[1])
    for content, side, limit, full in zip(placement.content_size, size, limits, placement.input_size, strict=True):
        assert 1 <= content <= limit
        assert abs(content - side * factor) <= 0.5 or content == 1
        assert full % stride == 0
        assert content <= full < content + stride
    assert any(c == limit for c, limit in zip(placement.content_size, limits, strict=True))


@settings(max_examples=200, deadline=None)
@given(st.tuples(sides, sides), boxes, st.integers(0, 2**32 - 1))
def test_positions_go_there_and_back(size: tuple[int, int], box: tuple[int, int], seed: int) -> None:
    placement = place(size, box, 8)
    xy = np.random.default_rng(seed).uniform(-0.5, np.array(size) - 0.5, (7, 2))
    there = placement.to_input(xy)
    assert (there >= -0.5 - 1e-9).all()
    assert (there <= np.array(placement.content_size) - 0.5 + 1e-9).all()
    np.testing.assert_allclose(placement.to_image(there), xy, rtol=0, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(60, 900), st.integers(60, 900)),
    st.tuples(st.integers(40, 700), st.integers(40, 700)),
    st.floats(0.25, 0.75),
    st.floats(0.25, 0.75),
    st.booleans(),
)
def test_pixels_land_where_positions_say(
    size: tuple[int, int], box: tuple[int, int], across: float, down: float, mirror: bool
) -> None:
    placement = place(size, box, 8)
    x, y = across * (size[0] - 1), down * (size[1] - 1)
    sigma = 2.0 * np.maximum(1, 1 / np.array(placement.scales))
    rows, columns = np.mgrid[: size[1], : size[0]]
    blob = np.exp(-(((columns - x) / sigma[0]) ** 2) / 2 - ((rows - y) / sigma[1]) ** 2 / 2)
    image = np.repeat(np.rint(255 * blob).astype(np.uint8)[:, :, None], 3, axis=2)
    result = apply(image, placement, mirror)
    width, height = placement.content_size
    assert result.shape == (placement.input_size[1], placement.input_size[0], 3)
    assert (result[height:] == 128).all()
    assert (result[:, width:] == 128).all()
    content = result[:height, :width, 0].astype(float)
    rows, columns = np.mgrid[:height, :width]
    found = np.array([(columns * content).sum(), (rows * content).sum()]) / content.sum()
    expected = placement.to_input(np.array([x, y]))
    if mirror:
        expected[0] = width - 1 - expected[0]
    # A blob whose tail the border cuts off has its centroid elsewhere: leave those few out.
    reach = 4 * sigma
    if min(x / reach[0], y / reach[1], (size[0] - 1 - x) / reach[0], (size[1] - 1 - y) / reach[1]) > 1:
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.1)


@pytest.mark.parametrize("size", [(1200, 800), (1203, 801), (1201, 90)])
def test_every_pixel_counts_when_shrinking_much(size: tuple[int, int]) -> None:
    """The mean of n x n pixels of noise has an n-th of its spread; a few samples would keep most of it."""
    image = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    placement = place(size, (130, 130), 1)
    width, height = placement.content_size
    spread = image.std() / (size[0] / width)
    content = apply(image, placement)[:height, :width]
    assert 0.5 * spread < content.std() < 2 * spread
    assert abs(content.mean() - image.mean()) < 1


def test_a_picture_of_the_right_size_is_not_resampled() -> None:
    placement = place((90, 60), (90, 60), 1)
    np.testing.assert_array_equal(apply(SMOOTH, placement), SMOOTH)
    np.testing.assert_array_equal(apply(SMOOTH, placement, mirror=True), SMOOTH[:, ::-1])


def test_extreme_placements() -> None:
    assert place((20000, 20), (368, 368), 8).input_size == (368, 8)
    assert place((1, 1), (64, 48), 8).content_size == (48, 48)
    assert apply(np.zeros((20, 20000, 3), np.uint8), place((20000, 20), (368, 368), 8)).shape == (8, 368, 3)
    assert apply(np.zeros((1, 1, 3), np.uint8), place((1, 1), (64, 48), 8)).shape == (48, 48, 3)
    with pytest.raises(ImageError):
        apply(SMOOTH, place((91, 60), (64, 48), 8))


@pytest.mark.parametrize(
    ("box", "stride", "scale"),
    [((0, 5), 8, 1.0), ((5, 5), 0, 1.0), ((5, 5), 8, 0.0), ((5, 5), 8, float("nan")), ((10**6, 10**6), 8, 1.0)],
)
def test_impossible_placements(box: tuple[int, int], stride: int, scale: float) -> None:
    with pytest.raises(UsageError):
        place((10, 10), box, stride, scale)


def test_real_photographs(shared: Path) -> None:
    paths = sorted((shared / "data/real").glob("*/*.jpg"))
    assert len(paths) == 29
    for path in paths:
        reference = Image.open(path)
        image = read_image(path)
        assert (image.shape[1], image.shape[0]) == ImageOps.exif_transpose(reference).size
