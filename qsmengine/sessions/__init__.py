"""Commands from files to files that are not bound to a modality: one stage, denoising, preprocessing, scores.

Each module checks all inputs before it computes and publishes all of its outputs or none. The command line
calls them; reconstructions of a whole series are in ``qsmengine.modalities``.
"""
