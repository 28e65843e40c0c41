"""Videos of policies and motions, and learning curves.

Matplotlib, imageio and the OpenGL library are imported when a picture is made, so training runs without them. Import
the submodules: ``manybody.media.video``, ``manybody.media.learning_curve``.
"""
