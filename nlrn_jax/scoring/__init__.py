"""Figures by stated protocols. May import `network`, `data`, `pictures`, `training`,
`exchanging` and `restoring`.

Read in this order:
    protocols    how figures are measured, each stated once
    metrics      PSNR and SSIM
    benchmarks   the test sets, by name
    networks     which runs are scored
    methods      what is compared: baseline, classical denoisers, networks
    evaluate     methods on benchmarks
    validation   a run scored while it trains
    results      the figures as files
    gallery      the pictures as files
    published    figures of others
"""
