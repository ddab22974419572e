"""Published figures: PSNR in dB and SSIM of whole test sets, by method, benchmark and level.

Only cells that were checked in print are here; the others of those tables are left out. The
methods' own papers and later tables differ by 0.01 dB in places (BM3D on Set12, DnCNN at sigma 50).
"""

Figures = tuple[float, float | None]  # PSNR in dB, SSIM where it was printed
Cells = dict[str, dict[float, Figures]]

NLRN = "NLRN (Liu et al. 2018)"

# Grey images, unclipped noise. As printed beside NLRN by DAGL (Mou, Zhang, Wu, ICCV 2021); NLRN's
# PSNR also by SwinIR (2021), DPIR (2021) and SCUNet (2022).
_DENOISE: dict[str, Cells] = {
    "BM3D (Dabov et al. 2007)": {
        "Set12": {15: (32.37, 0.8952), 25: (29.97, 0.8504), 50: (26.72, 0.7676)},
        "BSD68": {15: (31.07, 0.8717), 25: (28.57, 0.8013), 50: (25.62, 0.6864)},
        "Urban100": {15: (32.35, 0.9220), 25: (29.71, 0.8777), 50: (25.95, 0.7791)},
    },
    "DnCNN (Zhang et al. 2017)": {
        "Set12": {15: (32.86, 0.9031), 25: (30.44, 0.8622), 50: (27.18, 0.7829)},
        "BSD68": {15: (31.73, 0.8907), 25: (29.23, 0.8278), 50: (26.23, 0.7189)},
        "Urban100": {15: (32.68, 0.9255), 25: (29.97, 0.8797), 50: (26.28, 0.7874)},
    },
    NLRN: {
        "Set12": {15: (33.16, 0.9070), 25: (30.80, 0.8689), 50: (27.64, 0.7980)},
        "BSD68": {15: (31.88, 0.8932), 25: (29.41, 0.8331), 50: (26.47, 0.7298)},
        "Urban100": {15: (33.45, 0.9354), 25: (30.94, 0.9018), 50: (27.49, 0.8279)},
    },
}

# Colour images, unclipped noise, as printed by FFDNet.
_DENOISE_COLOUR: dict[str, Cells] = {
    "CBM3D (Dabov et al. 2007)": {
        "CBSD68": {15: (33.52, None), 25: (30.71, None), 50: (27.38, None)},
    },
    "CDnCNN (Zhang et al. 2017)": {
        "CBSD68": {15: (33.89, None), 25: (31.23, None), 50: (27.92, None)},
    },
    "FFDNet (Zhang et al. 2018)": {
        "CBSD68": {15: (33.87, None), 25: (31.21, None), 50: (27.96, None)},
    },
}

# Grey images, as printed in the repository of DnCNN's authors.
_JPEG: dict[str, Cells] = {
    "AR-CNN (Dong et al. 2015)": {
        "Classic5": {
            10: (29.03, 0.7929), 20: (31.15, 0.8517), 30: (32.51, 0.8806), 40: (33.34, 0.8953),
        },
    },
    "TNRD (Chen and Pock 2017)": {
        "Classic5": {10: (29.28, 0.7992), 20: (31.47, 0.8576), 30: (32.78, 0.8837)},
    },
    "DnCNN-3 (Zhang et al. 2017)": {
        "Classic5": {
            10: (29.40, 0.8026), 20: (31.63, 0.8610), 30: (32.91, 0.8861), 40: (33.77, 0.9003),
        },
    },
}  # fmt: skip

# Luma, MATLAB's bicubic. NLRN, MemNet, LapSRN as printed by CSNLN (Mei et al., CVPR 2020), NLRN
# also by PAN (Mei et al. 2020); SRCNN, VDSR, DRCN by DRRN (Tai, Yang, Liu, CVPR 2017); DRRN by
# TSCN (Hui et al. 2018).
_SR: dict[str, Cells] = {
    "SRCNN (Dong et al. 2014)": {
        "Set5": {2: (36.66, 0.9542), 3: (32.75, 0.9090), 4: (30.48, 0.8628)},
        "Set14": {2: (32.45, 0.9067), 4: (27.50, 0.7513)},
        "B100": {2: (31.36, 0.8879), 4: (26.90, 0.7101)},
        "Urban100": {2: (29.50, 0.8946), 4: (24.52, 0.7221)},
    },
    "VDSR (Kim et al. 2016)": {
        "Set5": {2: (37.53, 0.9587), 3: (33.66, 0.9213), 4: (31.35, 0.8838)},
        "Set14": {2: (33.03, 0.9124), 4: (28.01, 0.7674)},
        "B100": {2: (31.90, 0.8960), 4: (27.29, 0.7251)},
        "Urban100": {2: (30.76, 0.9140), 4: (25.18, 0.7524)},
    },
    "DRCN (Kim et al. 2016)": {
        "Set5": {2: (37.63, 0.9588), 3: (33.82, 0.9226), 4: (31.53, 0.8854)},
        "Set14": {2: (33.04, 0.9118), 4: (28.02, 0.7670)},
        "B100": {2: (31.85, 0.8942), 4: (27.23, 0.7233)},
        "Urban100": {2: (30.75, 0.9133), 4: (25.14, 0.7510)},
    },
    "LapSRN (Lai et al. 2017)": {
        "Set5": {2: (37.52, 0.9591), 3: (33.82, 0.9227), 4: (31.54, 0.8850)},
        "Set14": {2: (33.08, 0.9130), 3: (29.87, 0.8320), 4: (28.19, 0.7720)},
        "B100": {3: (28.82, 0.7980), 4: (27.32, 0.7270)},  # x2 is printed in two ways
        "Urban100": {2: (30.41, 0.9101), 3: (27.07, 0.8280), 4: (25.21, 0.7560)},
    },
    "DRRN (Tai et al. 2017)": {
        "Set5": {2: (37.74, 0.9591), 3: (34.03, 0.9244), 4: (31.68, 0.8888)},
        "Set14": {2: (33.23, 0.9136), 3: (29.96, 0.8349), 4: (28.21, 0.7721)},
        "B100": {2: (32.05, 0.8973), 3: (28.95, 0.8004), 4: (27.38, 0.7284)},
        "Urban100": {2: (31.23, 0.9188), 3: (27.53, 0.8378), 4: (25.44, 0.7638)},
    },
    "MemNet (Tai et al. 2017)": {
        "Set5": {2: (37.78, 0.9597), 3: (34.09, 0.9248), 4: (31.74, 0.8893)},
        "Set14": {2: (33.28, 0.9142), 3: (30.00, 0.8350), 4: (28.26, 0.7723)},
        "B100": {2: (32.08, 0.8978), 3: (28.96, 0.8001), 4: (27.40, 0.7281)},
        "Urban100": {2: (31.31, 0.9195), 3: (27.56, 0.8376), 4: (25.50, 0.7630)},
    },
    NLRN: {
        "Set5": {2: (38.00, 0.9603), 3: (34.27, 0.9266), 4: (31.92, 0.8916)},
        "Set14": {2: (33.46, 0.9159), 3: (30.16, 0.8374), 4: (28.36, 0.7745)},
        "B100": {2: (32.19, 0.8992), 3: (29.06, 0.8026), 4: (27.48, 0.7306)},
        "Urban100": {2: (31.81, 0.9249), 3: (27.93, 0.8453), 4: (25.79, 0.7729)},
    },
}

# The protocols under which they were measured, and the channels of networks to compare with them.
_FIGURES = {
    ("denoise", 1): _DENOISE,
    ("denoise", 3): _DENOISE_COLOUR,
    ("jpeg", 1): _JPEG,
    **{(protocol, channels): _SR for protocol in ("sr_y", "sr_y_float") for channels in (1, 3)},
}


def published(protocol: str, channels: int, benchmark: str, level: float) -> dict[str, Figures]:
    """Return {method: (PSNR in dB, SSIM)} as published for a benchmark; may be empty.

    Of super-resolution they are of the luma, whatever the channels of a network.
    """
    methods = _FIGURES.get((protocol, channels), {})
    return {
        method: cells[benchmark][level]
        for method, cells in methods.items()
        if level in cells.get(benchmark, {})
    }
