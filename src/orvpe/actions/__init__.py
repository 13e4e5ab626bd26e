"""Action recognition: learn custom actions, and recognise them in files, videos and live."""
