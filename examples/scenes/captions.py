"""A scene in words."""

import numpy as np

from .scene import Scene, Thing

_TO_THE_SIDE = 0.12  # picture widths from which a thing counts as left or right of another


def caption(scene: Scene) -> str:
    """One or two English sentences that name every thing with its size, surface and colour, and nothing else."""
    phrasings = _in_company(scene) if len(scene.things) > 1 else _alone(scene.main)
    return phrasings[scene.phrasing % len(phrasings)]


def _alone(main: Thing) -> tuple[str, ...]:
    return (
        f"A {noun(main)} {main.motion.verb}.",
        f"There is a {noun(main)} {main.motion.participle} on its own.",
        f"Nothing but a {noun(main)}, {main.motion.participle}.",
    )


def _in_company(scene: Scene) -> tuple[str, ...]:
    main, others = scene.main, scene.things[1:]
    beside = _listed([f"{_relation(scene, main, other)} a {noun(other)}" for other in others])
    around = _listed([f"{_relation(scene, other, main)} it a {noun(other)} {other.motion.verb}" for other in others])
    doings = _listed([f"a {noun(other)} {other.motion.verb}" for other in others])
    company = _listed([f"a {noun(other)}" for other in others])
    return (
        f"A {noun(main)} {main.motion.verb} {beside}.",
        f"A {noun(main)} {main.motion.verb}. {_capital(around)}.",
        f"{_capital(doings)} while a {noun(main)} {main.motion.verb}.",
        f"There is a {noun(main)} {main.motion.participle} next to {company}.",
    )


def noun(thing: Thing) -> str:
    """Size, surface, colour and kind; matt surfaces go without saying."""
    surface = "" if thing.material == "matte" else f"{thing.material} "
    return f"{thing.size} {surface}{thing.colour} {thing.kind}"


def _relation(scene: Scene, thing: Thing, other: Thing) -> str:
    """Where `thing` is from `other`, as the camera sees them at the start."""
    centres = np.array([thing.centre(0.0), other.centre(0.0)], dtype=np.float32).T
    u, _, depth = scene.camera.project(centres)
    across, behind = u[0] - u[1], depth[0] - depth[1]
    if abs(across) >= _TO_THE_SIDE:
        return "left of" if across < 0 else "right of"
    return "behind" if behind > 0 else "in front of"


def _listed(phrases: list[str]) -> str:
    return " and ".join(phrases)


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
