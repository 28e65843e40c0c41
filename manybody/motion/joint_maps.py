"""Map the joints of another skeleton to bodies of the AMP humanoid, by usual names or by a user's YAML file."""

import collections
import itertools
import os
import re
from collections.abc import Mapping, Sequence

from manybody.config.errors import shown
from manybody.config.yaml import load_yaml
from manybody.motion.errors import MotionError, read_from

_TRUNK_NAMES = {
    "pelvis": ("pelvis", "hips", "hip", "root"),
    # The topmost joint of the spine, whose rotation includes those of all joints below.
    "torso": (
        *("upperchest", "chest4", "chest3", "chest2", "chest", "thorax", "torso"),
        *("spine4", "spine3", "spine2", "spine1", "spine", "upperback"),
    ),
    "head": ("head", "neck1", "neck"),
}
_LIMB_NAMES = {
    # In a skeleton with an "arm", a "shoulder" is the collar bone; otherwise it is the joint of the arm.
    "upper_arm": ("arm", "uparm", "upperarm", "humerus", "shldr", "shoulder"),
    "lower_arm": ("forearm", "lowarm", "lowerarm", "radius", "elbow"),
    # In a skeleton with both, such as SMPL, a "hand" is the joint of the knuckles and a "foot" that of the toes.
    "hand": ("wrist", "hand"),
    "thigh": ("upleg", "upperleg", "thigh", "femur", "hip"),
    "shin": ("leg", "lowleg", "lowerleg", "shin", "calf", "tibia", "knee"),
    "foot": ("ankle", "foot"),
}
NAMES = _TRUNK_NAMES | {
    f"{side}_{limb}": tuple(f"{word}{name}" for name in names for word in (side, side[0]))
    for side in ("right", "left")
    for limb, names in _LIMB_NAMES.items()
}
"""By body of :data:`~manybody.motion.skeletons.AMP_HUMANOID`, names of its joint in other skeletons, the best first.

They have the form of :func:`plain_names`. They cover DeepMimic, Mixamo, LAFAN1, BVH conversions of CMU's motions,
CMU's own ASF names, SMPL, 100STYLE, Biped (``Bip01 L Thigh``), MotionBuilder (``Character1_LeftArm``) and Unreal's
mannequin (``thigh_l``).
"""
SIDES = ("left", "right", "l", "r")
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
"""The words of ``Bip01 L UpperArm``, ``LeftUpLeg``, ``spine_03``."""
OPTIONAL = ("right_hand", "left_hand")
"""Bodies without a joint in the AMP humanoid; the other skeleton's joint, if any, defines the lower arm's direction."""
LIMBS = tuple(
    tuple(f"{side}_{part}" for part in parts)
    for parts in (("upper_arm", "lower_arm", "hand"), ("thigh", "shin", "foot"))
    for side in ("right", "left")
)
"""Bodies of the arms, then of the legs, from the trunk outwards. Each carries the next; the second has a hinge."""
TRUNK_PAIRS = (
    *(("pelvis", "torso"), ("torso", "head")),
    *(("torso" if "arm" in first else "pelvis", first) for first, *_ in LIMBS),
)
"""Pairs of bodies of which the second must not be an ancestor of the first."""


def joint_map(names: Sequence[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Find the joint among ``names`` for each body, by :data:`NAMES`; entries of ``given`` take precedence.

    Raises:
        MotionError: ``given`` has an unknown body or joint, or the joint of another body; or a joint is not found.
    """
    given = given or {}
    for body, name in given.items():
        if body not in NAMES:
            raise MotionError(f"joint map: {shown(body)}", "an unknown body", f"one of {', '.join(NAMES)}")
        if name not in names:
            expected = f"one of the clip's joints: {', '.join(names)}"
            raise MotionError(f"joint map: {body}", shown(name), expected)
    by_word = dict(reversed(list(zip(plain_names(names), names, strict=True))))  # of equal ones the first
    found = {body: by_word[word] for body, words in NAMES.items() for word in reversed(words) if word in by_word}
    found |= given
    missing = [body for body in NAMES if body not in found and body not in OPTIONAL]
    if missing:
        advice = f"Write a joint map, a YAML file with lines such as '{missing[0]}: <joint>'."
        expected = f"a name such as {NAMES[missing[0]][0]!r} among the clip's joints: {', '.join(names)}"
        raise MotionError("joint map", f"no joint for {', '.join(missing)}", expected, advice)
    for body, name in given.items():
        other = next((other for other in found if found[other] == name and other != body), None)
        if other is not None:
            advice = f"Add a line for {other}, or remove this one."
            raise MotionError(f"joint map: {body}", f"{shown(name)}, the joint of {other}", "another", advice)
    return found


def check_anatomy(names: Sequence[str], parents: Sequence[int], joints: Mapping[str, int]) -> None:
    """Raise MotionError unless the mapped joints have the same ancestors as the humanoid's bodies.

    Args:
        names: the names of the joints.
        parents: index of each joint's parent, -1 for the root.
        joints: index of the joint of each body of the humanoid.
    """

    def carries(upper: str, lower: str) -> bool:
        joint = joints[lower]
        while joint >= 0 and joint != joints[upper]:
            joint = parents[joint]
        return joint >= 0

    pairs = [pair for limb in LIMBS for pair in itertools.pairwise(limb)]
    wrong = [("below", pair) for pair in pairs if pair[1] in joints and not carries(*pair)]
    wrong += [("not above", pair) for pair in TRUNK_PAIRS if carries(*reversed(pair))]
    for where, (upper, lower) in wrong[:1]:
        expected = f"one {where} {shown(names[joints[upper]])}, the joint of {upper}"
        raise MotionError(f"joint map: {lower}", shown(names[joints[lower]]), expected, "Map other joints.")


def plain_names(names: Sequence[str]) -> list[str]:
    """Convert ``names`` to lower case without spaces and signs, the side first, without a prefix that most share."""
    words = [
        [word.lower() if word.isalpha() else str(int(word)) for word in WORDS.findall(name.rpartition(":")[2])]
        for name in names
    ]
    while True:
        first = collections.Counter(name[0] for name in words if name and name[0] not in SIDES)
        prefix = [word for word, count in first.items() if count > len(words) / 2]
        if not prefix:
            break
        words = [name[1:] if name[:1] == prefix else name for name in words]
    return ["".join(name[-1:] + name[:-1] if name[-1:] and name[-1] in SIDES else name) for name in words]


def load_joint_map(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read a YAML file with lines of ``body of the humanoid: joint of the file``.

    Raises:
        ConfigError: the file cannot be read or is not YAML.
        MotionError: it has other content.
    """
    content = dict(load_yaml(os.fspath(path)))
    with read_from(path):
        for body, joint in content.items():
            if not isinstance(body, str) or not isinstance(joint, str):
                raise MotionError(f"joint map: {body}", shown(joint), "lines of 'body: joint'")
    return content
