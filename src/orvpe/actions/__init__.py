"""Who does what, and when: learning a user's own actions, and recognising them in files, videos and live."""
