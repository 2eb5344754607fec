"""What a person looks like: the shape of a head and everything that is painted on it."""

from dataclasses import dataclass, replace

import numpy as np

from deepfake_mtl.synthetic.complexion import HAIR_COLOURS, IRIS_COLOURS, SKIN_TONES, between
from deepfake_mtl.synthetic.face_shape import FaceShape
from deepfake_mtl.synthetic.painting import HeadPlane, Plane, blur, bump, paint, smoothstep


@dataclass(frozen=True)
class FaceModel:
    """The appearance of one person, whatever they do and wherever they are.

    Attributes:
        plane: The raster of the fields below.
        shape: Measures of the head.
        albedo: Colour without light, shape (height, width, 3), 0 to 255; eyes are not in it.
        alpha: Where there is head or hair, shape (height, width), 0 to 1.
        depth: Height above the plane of the ears in head units, shape (height, width).
        normals: Unit normals (right, down, towards the viewer), shape (height, width, 3).
        gloss: Strength of the highlights, shape (height, width).
        inner: The part of the face that face swaps replace, 0 to 1, with an edge of one pixel.
        mouth: The mouth and what moves around it, 0 to 1, with an edge of one pixel.
        skin: Colour of the skin, shape (3,).
        iris: Colour of the iris, shape (3,).
    """

    plane: HeadPlane
    shape: FaceShape
    albedo: Plane
    alpha: Plane
    depth: Plane
    normals: Plane
    gloss: Plane
    inner: Plane
    mouth: Plane
    skin: Plane
    iris: Plane

    @classmethod
    def sample(cls, rng: np.random.Generator, density: float) -> "FaceModel":
        """Paint somebody new on a raster of `density` pixels a head unit."""
        shape = FaceShape.sample(rng)
        plane = HeadPlane(density)
        tone = rng.uniform(0, len(SKIN_TONES) - 1)
        # Dark skin with fair hair is rare: the darker the skin, the fewer colours to choose from.
        choices = len(HAIR_COLOURS) if tone < 3 else 2
        hair = HAIR_COLOURS[rng.integers(choices)] * rng.uniform(0.8, 1.2)
        skin = between(SKIN_TONES, tone) * rng.uniform(0.96, 1.04, 3).astype(np.float32)
        return _Painter(rng, plane, shape, skin, hair).finish(
            IRIS_COLOURS[rng.integers(len(IRIS_COLOURS)) if tone < 3 else 0]
        )

    def with_albedo(self, albedo: Plane) -> "FaceModel":
        """Return the same head with another skin."""
        return replace(self, albedo=albedo)


class _Painter:
    """Paint one head; the methods are called once each, from the bone to the hair."""

    def __init__(
        self,
        rng: np.random.Generator,
        plane: HeadPlane,
        shape: FaceShape,
        skin: Plane,
        hair: Plane,
    ) -> None:
        self.rng, self.plane, self.shape, self.skin, self.hair = rng, plane, shape, skin, hair
        self.u, self.v = plane.u, plane.v
        self.pixel = 1 / plane.density
        jaw = 1 - shape.jaw * smoothstep(0.0, 1.05, self.v)
        across = self.u / (shape.width * jaw)
        self.radius = np.sqrt(across**2 + np.abs(self.v) ** 2.4, dtype=np.float32)
        self.inside = smoothstep(1.0 + 1.5 * self.pixel, 1.0 - 1.5 * self.pixel, self.radius)
        self.pores = plane.noise(rng, 0.035)

    def finish(self, iris: Plane) -> FaceModel:
        depth = self._depth()
        albedo = self._skin()
        self._folds(albedo)
        self._lips(albedo)
        self._brows(albedo)
        self._beard(albedo)
        alpha = self._ears(albedo)
        gloss = 1.0 - 0.6 * smoothstep(0.75, 1.0, self.radius)
        alpha, hair = self._hair(albedo, alpha)
        gloss = gloss * (1 - 0.7 * hair)
        if self.shape.glasses:
            self._glasses(albedo)
        depth += 0.06 * blur(hair, 0.05 * self.plane.density)
        depth = blur(depth, 0.02 * self.plane.density)
        np.clip(albedo, 0, 255, out=albedo)
        return FaceModel(
            plane=self.plane,
            shape=self.shape,
            albedo=albedo,
            alpha=alpha,
            depth=depth,
            normals=self._normals(depth),
            gloss=np.asarray(gloss, np.float32),
            inner=self._inner(),
            mouth=self._mouth(),
            skin=self.skin,
            iris=iris,
        )

    def _depth(self) -> Plane:
        s, u, v = self.shape, self.u, self.v
        dome = np.clip(1.02 - self.radius**2, 0, 1) ** 0.75
        nose_tip = s.eye_height + s.nose_length + 0.08
        ridge = np.exp(-0.5 * (u / (0.55 * s.nose_width)) ** 2) * (
            smoothstep(s.eye_height - 0.15, nose_tip, v) * smoothstep(nose_tip + 0.13, nose_tip, v)
        )
        depth = 0.62 * dome + 0.17 * ridge
        depth += 0.09 * bump(u, v, (0, nose_tip), (0.75 * s.nose_width, 0.07))
        for side in (-1, 1):
            wing = (side * s.nose_width, nose_tip + 0.04)
            depth += 0.05 * bump(u, v, wing, (0.045, 0.045))
            eye = (side * s.eye_distance, s.eye_height)
            depth -= 0.075 * bump(u, v, eye, (0.17, 0.09))
            depth += 0.03 * bump(u, v, (eye[0], eye[1] - s.brow_height), (0.2, 0.06))
            depth += 0.05 * bump(u, v, (side * 0.42, 0.22), (0.17, 0.16))
            depth -= 0.02 * bump(u, v, (side * 0.36, s.mouth_height - 0.06), (0.06, 0.12))
        mouth = s.mouth_height
        depth += 0.045 * bump(u, v, (0, mouth - 0.5 * s.lip_height), (s.mouth_width * 0.7, 0.04))
        depth += 0.05 * bump(u, v, (0, mouth + 0.7 * s.lip_height), (s.mouth_width * 0.55, 0.05))
        depth -= 0.03 * bump(u, v, (0, mouth + 0.17), (0.18, 0.04))
        depth += 0.06 * bump(u, v, (0, 0.88), (0.17, 0.11))
        return np.asarray(depth, np.float32)

    def _normals(self, depth: Plane) -> Plane:
        bumps = 0.0014 * self.shape.texture * self.pores * self.inside
        height = depth + bumps
        slope_v, slope_u = np.gradient(height, self.pixel)
        slopes = [-np.clip(slope, -2.5, 2.5) for slope in (slope_u, slope_v)]
        normals = np.stack([*slopes, np.ones_like(depth)], axis=-1)
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        return np.asarray(normals, np.float32)

    def _skin(self) -> Plane:
        s, u, v, rng = self.shape, self.u, self.v, self.rng
        albedo = np.empty((*self.plane.shape, 3), np.float32)
        albedo[:] = self.skin
        shade = (
            0.025 * self.plane.noise(rng, 0.25)
            + s.texture * 0.02 * self.plane.noise(rng, 0.07)
            + s.texture * 0.04 * self.pores
        )
        # Blood shows through skin: it varies least in red.
        albedo *= 1 + shade[..., None] * np.array([0.8, 1.05, 1.15], np.float32)
        flush = 0.5 * bump(u, v, (0, s.eye_height + s.nose_length), (0.14, 0.12))
        for side in (-1, 1):
            flush = flush + 0.55 * bump(u, v, (side * 0.4, 0.25), (0.16, 0.13))
        flush = flush * (1 + 0.3 * self.plane.noise(rng, 0.1))
        albedo *= 1 - np.clip(flush, 0, 1)[..., None] * np.array([0.0, 0.17, 0.16], np.float32)
        if s.freckles:
            spots = np.clip(self.plane.noise(rng, 0.04) - 1.1, 0, 1)
            spots = spots * bump(u, v, (0, 0.12), (0.5, 0.25))
            albedo *= 1 - (s.freckles * spots)[..., None] * np.array([0.4, 0.5, 0.55], np.float32)
        for _ in range(rng.integers(2, 6)):
            at = (rng.uniform(-0.5, 0.5), rng.uniform(-0.6, 0.85))
            size = rng.uniform(0.016, 0.03)
            paint(albedo, 0.7 * bump(u, v, at, (size, size)), self.skin * 0.4)
        return albedo

    def _folds(self, albedo: Plane) -> None:
        """Paint sockets, nostrils, the folds from nose to mouth, and lines on the forehead."""
        s, u, v = self.shape, self.u, self.v
        nose_tip = s.eye_height + s.nose_length + 0.08
        dark = 0.25 * bump(u, v, (0, s.mouth_height + 0.17), (0.13, 0.025))
        dark = dark + 0.3 * bump(u, v, (0, nose_tip + 0.11), (0.8 * s.nose_width, 0.03))
        for side in (-1, 1):
            eye_u = side * s.eye_distance
            dark = dark + 0.22 * bump(u, v, (eye_u, s.eye_height), (0.19, 0.09))
            dark += 0.2 * bump(u, v, (eye_u, s.eye_height + 0.12), (0.12, 0.025)) * s.wrinkles
            dark += 0.75 * bump(u, v, (side * 0.6 * s.nose_width, nose_tip + 0.085), (0.035, 0.02))
            track = side * (0.16 + 0.30 * (v - nose_tip))
            reach = smoothstep(nose_tip - 0.02, nose_tip + 0.08, v)
            reach = reach * smoothstep(s.mouth_height + 0.08, s.mouth_height - 0.04, v)
            dark += 0.28 * s.wrinkles * reach * np.exp(-0.5 * ((u - track) / 0.022) ** 2)
        for line in (-0.52, -0.44, -0.36):
            bend = line + 0.03 * np.cos(4 * u)
            across = smoothstep(0.42, 0.2, np.abs(u))
            dark += 0.16 * s.wrinkles * across * np.exp(-0.5 * ((v - bend) / 0.012) ** 2)
        albedo *= 1 - np.clip(dark, 0, 0.9)[..., None] * np.array([0.8, 1.0, 1.0], np.float32)

    def _lips(self, albedo: Plane) -> None:
        s, u, v = self.shape, self.u, self.v
        along = np.clip(1 - (u / s.mouth_width) ** 2, 0, 1)
        across = v - s.mouth_height
        dip = 0.25 * s.lip_height * bump(u, v * 0, (0, 0), (0.05, 1))
        upper = -(s.lip_height * 0.95) * along**0.8 + dip
        lower = s.lip_height * 1.25 * along**0.6
        soft = max(0.02, self.pixel)
        alpha = smoothstep(-soft, soft, across - upper) * smoothstep(soft, -soft, across - lower)
        alpha = alpha * smoothstep(0, 0.1, along)
        colour = self.skin * np.array([0.86, 0.58, 0.58], np.float32)
        creases = 1 + 0.1 * self.plane.noise(self.rng, 0.03, 0.15)
        paint(albedo, 0.85 * alpha, colour * creases[..., None])
        line = np.exp(-0.5 * (across / 0.012) ** 2) * smoothstep(0, 0.2, along)
        paint(albedo, 0.8 * line, colour * 0.35)

    def _brows(self, albedo: Plane) -> None:
        s, u, v = self.shape, self.u, self.v
        strokes = 0.75 + 0.35 * self.plane.noise(self.rng, 0.02, 0.06)
        for side in (-1, 1):
            along = (side * u - s.eye_distance) / 0.2
            middle = s.eye_height - s.brow_height + 0.035 * along**2 + 0.015 * along
            thickness = s.brow_thickness * (1.1 - 0.35 * along)
            reach = smoothstep(1.15, 0.8, np.abs(along))
            alpha = np.exp(-(((v - middle) / thickness) ** 2)) * reach
            paint(albedo, np.clip(alpha * strokes, 0, 0.9), self.hair * 0.75)

    def _beard(self, albedo: Plane) -> None:
        if not self.shape.beard:
            return
        s, u, v = self.shape, self.u, self.v
        region = smoothstep(0.30, 0.5, v + 0.35 * np.abs(u)) * smoothstep(0.95, 0.8, self.radius)
        region = np.maximum(region, smoothstep(0.12, 0.4, v) * smoothstep(0.8, 0.92, self.radius))
        free = bump(u, v, (0, s.mouth_height), (s.mouth_width * 0.75, s.lip_height * 1.1))
        stubble = 0.75 + 0.45 * self.plane.noise(self.rng, 0.03)
        alpha = np.clip(s.beard * region * (1 - free) * stubble, 0, 0.95)
        paint(albedo, alpha, self.hair * 0.8)

    def _ears(self, albedo: Plane) -> Plane:
        alpha = self.inside.copy()
        for side in (-1, 1):
            du = (self.u - side * (self.shape.width + 0.02)) / 0.09
            dv = (self.v - 0.04) / 0.19
            distance = np.sqrt(du**2 + dv**2, dtype=np.float32)
            ear = smoothstep(1.1, 0.9, distance)
            shade = 0.62 + 0.25 * smoothstep(0.2, 0.8, distance)
            paint(albedo, ear * (1 - self.inside), self.skin * shade[..., None])
            alpha = np.maximum(alpha, ear)
        return alpha

    def _hair(self, albedo: Plane, alpha: Plane) -> tuple[Plane, Plane]:
        s, u, v = self.shape, self.u, self.v
        if s.bald:
            return alpha, np.zeros_like(alpha)
        strands = self.plane.noise(self.rng, 0.03, 0.5)
        wave = self.plane.noise(self.rng, 0.12, 0.3)
        side = np.abs(u) / s.width
        line = s.hair_line + 0.1 * (u - s.hair_part) ** 2 + 0.55 * smoothstep(0.55, 1.05, side)
        line = line + 0.025 * strands - 0.07 * np.exp(-0.5 * ((u - s.hair_part) / 0.06) ** 2)
        high = np.abs(np.minimum(v, 0) / (1 + 0.8 * s.hair_volume))
        top = np.sqrt((u / (s.width + s.hair_volume)) ** 2 + high**2.3, dtype=np.float32)
        edge = 0.03
        crown = smoothstep(1 + edge, 1 - edge, top + 0.015 * wave)
        front = crown * smoothstep(0.03, -0.03, v - line)
        fall = smoothstep(0.08, -0.08, v - s.hair_length + 0.06 * strands)
        # The hair behind the face begins under its edge: nothing shines through between them.
        behind = crown * fall * smoothstep(0.85, 0.93, self.radius)
        hair = np.maximum(front, behind * (1 - self.inside))
        shine = 0.35 * bump(u, v, (s.hair_part, -0.85), (0.4, 0.1))
        shade = 0.85 + 0.22 * strands + 0.1 * wave + shine
        # Hair behind the face lies in its shadow.
        shade = shade * (1 - 0.45 * smoothstep(0.1, 0.6, v))
        paint(albedo, hair, self.hair * np.clip(shade, 0.2, 2)[..., None])
        return np.maximum(alpha, np.maximum(front, behind)), hair

    def _glasses(self, albedo: Plane) -> None:
        s, u, v = self.shape, self.u, self.v
        frame = np.zeros(self.plane.shape, np.float32)
        for side in (-1, 1):
            du = np.abs(u - side * s.eye_distance) / 0.235
            dv = np.abs(v - s.eye_height - 0.03) / 0.175
            distance = (du**4 + dv**4) ** 0.25
            frame = np.maximum(frame, np.exp(-(((distance - 1) / 0.09) ** 2)))
        across, away = np.abs(u), v - s.eye_height
        bridge = np.exp(-(((away + 0.02) / 0.02) ** 2)) * (across < s.eye_distance - 0.2)
        arms = np.exp(-((away / 0.02) ** 2)) * (across > s.eye_distance + 0.22)
        frame = np.maximum(frame, np.maximum(bridge, arms * (across < s.width)))
        colour = np.full(3, self.rng.uniform(15, 70), np.float32)
        paint(albedo, 0.92 * frame, colour)

    def _inner(self) -> Plane:
        """Return the part from above the brows to the chin, inside the outline of the face."""
        s, soft = self.shape, 1.5 * self.pixel
        middle = 0.5 * (s.eye_height - s.brow_height - 0.12 + 0.9)
        half = 0.9 - middle
        across = self.u / (0.8 * s.width * (1 - s.jaw * smoothstep(0.0, 1.05, self.v)))
        radius = np.sqrt(across**2 + np.abs((self.v - middle) / half) ** 2.6, dtype=np.float32)
        return smoothstep(1 + soft, 1 - soft, radius)

    def _mouth(self) -> Plane:
        s, soft = self.shape, 3 * self.pixel
        across, down = self.u / (s.mouth_width * 1.8), (self.v - s.mouth_height - 0.06) / 0.33
        radius = np.sqrt(across**2 + down**2, dtype=np.float32)
        return smoothstep(1 + soft, 1 - soft, radius)
