"""Devices and radios as data: watts, joules a byte, speed, heat, and who says so."""
