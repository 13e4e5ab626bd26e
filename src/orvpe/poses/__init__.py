"""What a pose sequence is: clips, joint layouts, body parts, people, windows, drawings."""
