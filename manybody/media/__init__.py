"""Pictures of a run: videos of a policy and learning curves.

What a picture needs (matplotlib, imageio, an OpenGL library) is imported when the picture is made, so that
training runs without any of it. Import the submodule you want: ``manybody.media.video`` or ``.curve``.
"""
