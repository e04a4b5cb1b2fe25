"""Reads the stores' deliveries: lists photos and receipt files, parses and judges lines, leaves out erased people."""
