"""File-to-file commands that do not belong to one modality: one stage, denoising, preprocessing, scores.

Each module checks all inputs before it computes, and publishes either all of its outputs or none. The command
line calls them; reconstructions of a whole series are in ``qsmengine.modalities``.
"""
