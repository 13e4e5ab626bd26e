"""`orvpe serve`: an HTTP interface to one model, and a page that shows how hiding joints changes its answers.

`command` starts it, `app` holds the addresses, `answers` asks the model, `uploads` and `reading` turn files of
strangers into clips, `limits` refuses what is too much.
"""
