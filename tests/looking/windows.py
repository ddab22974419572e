"""The windows in which pages are tried."""

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
