"""Which joint of another skeleton moves which body of ours: by the names in use, or by a user's YAML file."""

import collections
import itertools
import os
import re
from collections.abc import Mapping, Sequence

from manybody.motion.errors import MotionError, read_from, shown
from manybody.motion.files import read_yaml

_MAX_YAML = 64 * 1024
"""Bytes of a joint map; longer ones are refused unread."""

_TRUNK = {
    "pelvis": ("pelvis", "hips", "hip", "root"),
    # The topmost joint of the spine: it carries the turns of all those below.
    "torso": (
        *("upperchest", "chest4", "chest3", "chest2", "chest", "thorax", "torso"),
        *("spine4", "spine3", "spine2", "spine1", "spine", "upperback"),
    ),
    "head": ("head", "neck1", "neck"),
}
_LIMBS = {
    # Where there is an "arm", a "shoulder" is the collar bone; elsewhere the shoulder is the joint of the arm.
    "upper_arm": ("arm", "uparm", "upperarm", "humerus", "shldr", "shoulder"),
    "lower_arm": ("forearm", "lowarm", "lowerarm", "radius", "elbow"),
    # Where there are both, as in SMPL, a "hand" is the joint of the knuckles and a "foot" that of the toes.
    "hand": ("wrist", "hand"),
    "thigh": ("upleg", "upperleg", "thigh", "femur", "hip"),
    "shin": ("leg", "lowleg", "lowerleg", "shin", "calf", "tibia", "knee"),
    "foot": ("ankle", "foot"),
}
NAMES = _TRUNK | {
    f"{side}_{limb}": tuple(f"{word}{name}" for name in names for word in (side, side[0]))
    for side in ("right", "left")
    for limb, names in _LIMBS.items()
}
"""Body of :data:`~manybody.motion.skeletons.AMP_HUMANOID` to the names of its joint elsewhere, the best first.

As :func:`plain_names` writes them. They cover DeepMimic, Mixamo, LAFAN1, the usual BVH conversions of CMU's motions,
CMU's own ASF names, SMPL, 100STYLE, Biped (``Bip01 L Thigh``), MotionBuilder (``Character1_LeftArm``) and Unreal's
mannequin (``thigh_l``).
"""
SIDES = ("left", "right", "l", "r")
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
"""The words of ``Bip01 L UpperArm``, ``LeftUpLeg``, ``spine_03``."""
OPTIONAL = ("right_hand", "left_hand")
"""Bodies without a joint of their own: where theirs is known, it tells where the lower arm points."""


def joint_map(names: Sequence[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Body of ours to a joint among ``names``, found by :data:`NAMES`; entries of ``given`` come first.

    Raises:
        MotionError: ``given`` names a body or joint that is not there, or one that another body has; or a joint is not
            found. Lists those there are.
    """
    given = given or {}
    for body, name in given.items():
        if body not in NAMES:
            raise MotionError(f"joint map: {shown(body)}", "no body of ours", f"one of {', '.join(NAMES)}")
        if name not in names:
            expected = f"one of the clip's joints: {', '.join(names)}"
            raise MotionError(f"joint map: {body}", shown(name), expected)
    theirs = dict(reversed(list(zip(plain_names(names), names, strict=True))))  # of equal ones the first
    found = {body: theirs[word] for body, words in NAMES.items() for word in reversed(words) if word in theirs}
    found |= given
    missing = [body for body in NAMES if body not in found and body not in OPTIONAL]
    if missing:
        advice = f"Write a YAML file with lines such as '{missing[0]}: <joint>' and give it as the joint map."
        expected = f"a name such as {NAMES[missing[0]][0]!r} among the clip's joints: {', '.join(names)}"
        raise MotionError("joint map", f"no joint for {', '.join(missing)}", expected, advice)
    for body, name in given.items():
        other = next((other for other in found if found[other] == name and other != body), None)
        if other is not None:
            advice = f"Say which joint {other} has, or take this line out."
            raise MotionError(f"joint map: {body}", f"{shown(name)}, the joint of {other}", "another", advice)
    return found


_SIDES = ("right_", "left_")
IN_LIMBS = tuple(
    (side + upper, side + lower)
    for side in _SIDES
    for upper, lower in itertools.chain.from_iterable(
        map(itertools.pairwise, (("upper_arm", "lower_arm", "hand"), ("thigh", "shin", "foot")))
    )
)
"""Bodies of which the first's joint carries the second's."""
AT_TRUNK = (
    ("pelvis", "torso"),
    ("torso", "head"),
    *(pair for side in _SIDES for pair in (("torso", f"{side}upper_arm"), ("pelvis", f"{side}thigh"))),
)
"""Bodies of which the second's joint does not carry the first's. Both may hang on a third: spines differ."""


def check_anatomy(names: Sequence[str], parents: Sequence[int], joints: Mapping[str, int]) -> None:
    """Make sure that the joints of a skeleton hang on each other as our bodies do.

    Args:
        names: of its joints.
        parents: place of each joint's parent, -1 for the root.
        joints: body of ours to the place of its joint.

    Raises:
        MotionError: one does not.
    """

    def carries(upper: str, lower: str) -> bool:
        joint = joints[lower]
        while joint >= 0 and joint != joints[upper]:
            joint = parents[joint]
        return joint >= 0

    wrong = [("below", pair) for pair in IN_LIMBS if pair[1] in joints and not carries(*pair)]
    wrong += [("not above", pair) for pair in AT_TRUNK if carries(*reversed(pair))]
    for where, (upper, lower) in wrong[:1]:
        expected = f"one {where} {shown(names[joints[upper]])}, the joint of {upper}"
        raise MotionError(f"joint map: {lower}", shown(names[joints[lower]]), expected, "Map other joints.")


def plain_names(names: Sequence[str]) -> list[str]:
    """``names`` in small letters without spaces and signs, the side first, without what most of them begin with."""
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


def load_joint_map(path: str | os.PathLike) -> dict[str, str]:
    """The entries of a YAML file: lines of ``body of ours: joint of theirs``.

    Raises:
        MotionError: the file cannot be read, is no YAML, or holds something else.
    """
    with read_from(path):
        content = read_yaml(path, _MAX_YAML, "joint map")
        if not isinstance(content, dict) or not all(
            isinstance(text, str) for entry in content.items() for text in entry
        ):
            raise MotionError("joint map", shown(content), "lines of 'body of ours: joint of theirs'")
        return content
