"""From decoded frames to steady crops of one face: detection, tracks, crops."""
