"""Scores of generated clips against their true future: PSNR and SSIM, a value a frame.

Images are float tensors in [0, 1], (..., 3, H, W). Averages and protocols belong to `modeling.evaluation`.
"""
