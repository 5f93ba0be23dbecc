"""The status screen: full-screen text by urwid, on Trio.

pane     one scrolling table or list in a frame; drops columns that do not fit
screen   the panes together, the heading and the keys; shows a Status, knows nothing of sockets
app      the Trio shell: follows the node's stream, tries again while the node is down
"""
