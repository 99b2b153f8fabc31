"""What a method does to the image tower, seen from the tower: its passes, the roles of its tokens
(`passes`), and their norms (`norms`). No method knows of it; a training is watched and a finished
run analysed by the same instruments.
"""
