"""Processes, devices, random numbers, run folders and files: what every other room stands on."""
