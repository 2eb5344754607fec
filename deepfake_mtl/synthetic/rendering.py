"""A head in a frame: light, expression and pose applied to the painted plane."""

from typing import Final, NamedTuple

import numpy as np

from deepfake_mtl.synthetic.face import FaceModel
from deepfake_mtl.synthetic.painting import (
    Field,
    HeadPlane,
    Plane,
    bump,
    paint,
    resize,
    smoothstep,
    warp,
)
from deepfake_mtl.synthetic.performance import Expression, Pose
from deepfake_mtl.synthetic.scene import HEAD_RISE, HEAD_UNIT, Light

UPPER_LIP: Final = 0.055
LOWER_LIP: Final = 0.17
"""How far each lip leaves its line when the mouth is wide open, in head units."""

TURNING_DEPTH: Final = 0.25
"""Depth of the axes about which the head turns: inside it, before the plane of the ears."""


class Projection(NamedTuple):
    """For every pixel of a frame, which pixel of the head plane it shows; float32 (size, size)."""

    columns: Plane
    rows: Plane

    def show(self, layer: Plane) -> Plane:
        """Return a layer of the head plane as the frame shows it."""
        return warp(layer, self.columns, self.rows)


class HeadRenderer:
    """Render one head again and again.

    The head is a height field over a plane: an orthographic camera turns it by a few degrees, and
    each pixel finds its place on the plane by a fixed-point iteration.

    Args:
        face: Whose head.
        size: Side of the frame in pixels.
    """

    def __init__(self, face: FaceModel, size: int) -> None:
        self.face = face
        self.size = size
        height, width = face.plane.shape
        self._normals = [np.ascontiguousarray(face.normals[..., axis]) for axis in range(3)]
        # Positions change smoothly, so that every second pixel suffices for them.
        self._relief = resize(face.depth, (width // 2, height // 2))
        self._coarse = HeadPlane((width // 2) / width * face.plane.density)
        axis = (np.arange(size // 2, dtype=np.float32) + 0.5) * 2 / size - 0.5
        self._x, self._y = np.meshgrid(axis / HEAD_UNIT, axis / HEAD_UNIT)
        self._moves = _movements(face)
        self._columns = face.plane.columns(np.broadcast_to(face.plane.u, face.plane.shape))
        self._rows = face.plane.rows(np.broadcast_to(face.plane.v, face.plane.shape))

    def project(self, pose: Pose, jitter: tuple[float, float] = (0.0, 0.0)) -> Projection:
        """Find the place on the head plane that each pixel shows.

        Args:
            pose: Pose of the head.
            jitter: An error of its position, in head units.
        """
        cos_roll, sin_roll = np.cos(pose.roll), np.sin(pose.roll)
        x = (self._x - pose.x - jitter[0]) / pose.scale
        y = (self._y + HEAD_RISE - pose.y - jitter[1]) / pose.scale
        p = cos_roll * x + sin_roll * y
        q = cos_roll * y - sin_roll * x
        cos_yaw, sin_yaw = np.cos(pose.yaw), np.sin(pose.yaw)
        cos_pitch, sin_pitch = np.cos(pose.pitch), np.sin(pose.pitch)
        p = p + TURNING_DEPTH * sin_yaw
        q = q + TURNING_DEPTH * sin_pitch
        plane, coarse = self.face.plane, self._coarse
        u, v = (p - 0.4 * sin_yaw) / cos_yaw, (q - 0.4 * sin_pitch) / cos_pitch
        for _ in range(3):
            relief = warp(self._relief, coarse.columns(u), coarse.rows(v))
            u = (p - sin_yaw * relief) / cos_yaw
            v = (q - sin_pitch * (relief * cos_yaw - u * sin_yaw)) / cos_pitch
        full = (self.size, self.size)
        return Projection(resize(plane.columns(u), full), resize(plane.rows(v), full))

    def lit(self, light: Light, pose: Pose) -> Plane:
        """Return the head plane as the light shows it: premultiplied RGBA, colours 0 to 255."""
        face = self.face
        lamp = _into_head(light.direction, pose)
        halfway = lamp + _into_head(np.array([0, 0, 1], np.float32), pose)
        halfway /= np.linalg.norm(halfway)
        diffuse = light.ambient + light.strength * np.maximum(self._facing(lamp), 0)
        shine = np.maximum(self._facing(halfway), 0)
        for _ in range(4):
            shine *= shine
        shine *= (55 * light.gloss) * face.gloss
        colour = face.albedo * (diffuse * face.alpha)[..., None]
        colour += (shine * face.alpha)[..., None]
        colour *= light.colour
        return np.dstack([colour, face.alpha])

    def _facing(self, direction: Plane) -> Plane:
        """Return the cosine between the surface and a direction in the axes of the head."""
        # No matrix product: its rounding differs from process to process.
        right, down, front = self._normals
        cosine = right * direction[0] + down * direction[1] + front * direction[2]
        return np.asarray(cosine, np.float32)

    def express(self, lit: Plane, expression: Expression) -> Plane:
        """Move the lit head plane into an expression, and put eyes and mouth into it."""
        moves, density = self._moves, self.face.plane.density
        area = moves.area
        shift_u = expression.width * moves.width_u
        shift_v = (
            expression.mouth * moves.open_v
            + expression.smile * moves.smile_v
            + expression.brows * moves.brows_v
        )
        moved = lit.copy()
        moved[area] = warp(
            lit,
            np.asarray(self._columns[area] + shift_u * density, np.float32),
            np.asarray(self._rows[area] + shift_v * density, np.float32),
        )
        brightness = self._brightness(lit)
        self._paint_mouth(moved, expression, brightness)
        self._paint_eyes(moved, expression, brightness)
        return moved

    def render(
        self, light: Light, pose: Pose, expression: Expression, projection: Projection
    ) -> Plane:
        """Return the head in the frame: premultiplied RGBA, shape (size, size, 4)."""
        return projection.show(self.express(self.lit(light, pose), expression))

    def _brightness(self, lit: Plane) -> Plane:
        """Return the colour of the light on the face, from the skin below the eyes; shape (3,)."""
        window = self.face.plane.window(-0.3, 0.3, -0.05, 0.3)
        seen = lit[window][..., :3].mean(axis=(0, 1)) / self.face.skin
        return np.asarray(np.clip(seen, 0.2, 1.3), np.float32)

    def _paint_mouth(self, moved: Plane, expression: Expression, brightness: Plane) -> None:
        shape, plane = self.face.shape, self.face.plane
        if expression.mouth < 0.02:
            return
        half = shape.mouth_width * (1 + 0.2 * expression.width)
        middle = shape.mouth_height
        window = plane.window(-half, half, middle - 0.12, middle + 0.3)
        u, v = plane.u[:, window[1]], plane.v[window[0]] - middle
        v = v + 0.06 * expression.smile * (u / half) ** 2
        arch = np.sqrt(np.clip(1 - (u / half) ** 2, 0, 1), dtype=np.float32)
        top = -UPPER_LIP * expression.mouth * arch
        bottom = LOWER_LIP * expression.mouth * arch
        soft = 1.2 / plane.density
        alpha = smoothstep(-soft, soft, v - top) * smoothstep(soft, -soft, v - bottom)
        colour = np.empty((*alpha.shape, 3), np.float32)
        colour[:] = (52, 16, 18)
        tongue = bump(u, v, (0, LOWER_LIP * expression.mouth), (0.6 * half, 0.07))
        paint(colour, 0.8 * tongue, np.array((170, 84, 84), np.float32))
        gaps = 1 - 0.25 * np.exp(-(((np.abs(u) % 0.075) / 0.012) ** 2))
        teeth = smoothstep(soft, -soft, v - top - 0.055) * smoothstep(1.0, 0.7, np.abs(u) / half)
        teeth = teeth * min(1.0, 2 * expression.mouth)
        paint(colour, teeth, np.array((226, 220, 206), np.float32) * gaps[..., None])
        _paint_rgba(moved[window], alpha, colour * brightness * 0.95)

    def _paint_eyes(self, moved: Plane, expression: Expression, brightness: Plane) -> None:
        shape, plane = self.face.shape, self.face.plane
        half, opening = shape.eye_width, shape.eye_opening
        soft = 1.0 / plane.density
        for side in (-1, 1):
            middle = side * shape.eye_distance
            window = plane.window(
                middle - 1.15 * half,
                middle + 1.15 * half,
                shape.eye_height - 2.2 * opening,
                shape.eye_height + 2.0 * opening,
            )
            u, v = plane.u[:, window[1]] - middle, plane.v[window[0]] - shape.eye_height
            arch = np.clip(1 - (u / half) ** 2, 0, 1)
            bottom = 0.75 * opening * arch
            lid = bottom + expression.lids * (-1.2 * opening * arch**0.7 - bottom)
            alpha = smoothstep(-soft, soft, v - lid) * smoothstep(soft, -soft, v - bottom)
            alpha = alpha * smoothstep(0.0, 0.15, arch)
            white = 222 - 60 * smoothstep(0.6, 1.0, np.abs(u) / half)
            white = white - 60 * smoothstep(0.5 * opening, 0, v - lid)
            colour = np.repeat(np.asarray(white, np.float32)[..., None], 3, axis=-1)
            aside, below = (
                u - expression.gaze_u * half,
                v + 0.1 * opening - expression.gaze_v * half,
            )
            distance = np.sqrt(aside**2 + below**2, dtype=np.float32)
            ball = 0.5 * half
            iris = self.face.iris * (0.6 + 0.6 * smoothstep(ball, 0.3 * ball, distance))[..., None]
            paint(colour, smoothstep(ball + soft, ball - soft, distance), iris)
            pupil = smoothstep(0.42 * ball + soft, 0.42 * ball - soft, distance)
            paint(colour, pupil, np.array((12, 10, 10), np.float32))
            glint = bump(u, v, (-0.15 * half, -0.35 * opening), (0.022, 0.022))
            paint(colour, glint, np.array((255, 255, 255), np.float32))
            _paint_rgba(moved[window], alpha, colour * brightness)
            lashes = np.exp(-(((v - lid) / 0.018) ** 2)) * smoothstep(0.0, 0.2, arch)
            crease = np.exp(-(((v - lid + 0.05) / 0.014) ** 2)) * smoothstep(0.1, 0.5, arch)
            shaded = self.face.skin * brightness
            _paint_rgba(moved[window], 0.75 * lashes, shaded * 0.18)
            _paint_rgba(moved[window], 0.3 * crease, shaded * 0.4)


class _Movements(NamedTuple):
    """Where each point of the face was before it moved, for one unit of each expression."""

    area: tuple[slice, slice]
    open_v: Plane
    smile_v: Plane
    brows_v: Plane
    width_u: Plane


def _movements(face: FaceModel) -> _Movements:
    shape, plane = face.shape, face.plane
    area = plane.window(-1.1, 1.1, shape.eye_height - shape.brow_height - 0.25, 1.3)
    u, v = plane.u[:, area[1]], plane.v[area[0]]
    across = v - shape.mouth_height
    arch = np.sqrt(np.clip(1 - (u / shape.mouth_width) ** 2, 0, 1), dtype=np.float32)
    bell = np.exp(-0.5 * (u / 0.42) ** 2)
    jaw = smoothstep(0.0, 0.28, across)
    down = (arch * (1 - jaw) + bell * jaw) * smoothstep(0.75, 0.3, across)
    up = arch * smoothstep(0.2, 0.0, -across)
    open_v = np.where(across > 0, -LOWER_LIP * down, UPPER_LIP * up)
    around = bump(u, v, (0, shape.mouth_height), (0.32, 0.2))
    brow = shape.eye_height - shape.brow_height
    return _Movements(
        area=area,
        open_v=open_v,
        smile_v=0.06 * np.clip((u / shape.mouth_width) ** 2, 0, 2) * around,
        brows_v=0.05 * bump(u, v, (0, brow - 0.03), (0.5, 0.09)),
        width_u=-0.2 * u * around,
    )


def _into_head(direction: Plane, pose: Pose) -> Plane:
    """Turn a direction of the room into the axes of the head."""
    cos_yaw, sin_yaw = np.cos(pose.yaw), np.sin(pose.yaw)
    cos_pitch, sin_pitch = np.cos(pose.pitch), np.sin(pose.pitch)
    yaw = np.array([[cos_yaw, 0, sin_yaw], [0, 1, 0], [-sin_yaw, 0, cos_yaw]])
    pitch = np.array([[1, 0, 0], [0, cos_pitch, sin_pitch], [0, -sin_pitch, cos_pitch]])
    turned = np.einsum("ji,kj,k->i", yaw, pitch, direction)
    return np.asarray(np.round(turned, 6), np.float32)


def _paint_rgba(canvas: Plane, alpha: Field, colour: Field) -> None:
    """Lay colour over a premultiplied RGBA canvas in place."""
    canvas[..., :3] += alpha[..., None] * (colour - canvas[..., :3])
    canvas[..., 3] += alpha * (1 - canvas[..., 3])
