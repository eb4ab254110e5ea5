"""The help of a conversation."""

from __future__ import annotations

HELP = '''Available Commands:
  /set            Change how the conversation goes on
  /show           Show what is known of the model
  /load <model>   Go on with another model
  /save <model>   Make a model of this conversation
  /list           List models
  /clear          Forget the conversation so far
  /bye            Leave
  /?, /help       This help
  /? shortcuts    Help on keys

Use """ to begin and to end a message of several lines.
Images are added by their path: ./picture.png, /home/me/photo.jpg
'''

SET = """Available Commands:
  /set parameter ...     Set a parameter
  /set system <string>   Set the system message
  /set history           Keep what is typed in the history
  /set nohistory         Do not
  /set wordwrap          Wrap words to the next line
  /set nowordwrap        Do not
  /set format json       Let answers be JSON
  /set noformat          Let answers be text
  /set verbose           Show timings of answers
  /set quiet             Do not
  /set think [level]     Let the model think first (low, medium, high, max)
  /set nothink           Do not
"""

PARAMETERS = """Available Parameters:
  /set parameter seed <int>             Seed of the random numbers
  /set parameter num_predict <int>      Tokens of an answer at most
  /set parameter top_k <int>            Choose from the k likeliest tokens
  /set parameter top_p <float>          Choose from tokens of this probability together
  /set parameter min_p <float>          Leave out tokens below this share of the likeliest
  /set parameter num_ctx <int>          Size of the context
  /set parameter temperature <float>    How freely to choose
  /set parameter repeat_penalty <float> How much to avoid repetitions
  /set parameter repeat_last_n <int>    How far to look back for repetitions
  /set parameter num_gpu <int>          Layers to put on the GPU
  /set parameter stop <string> <string> ...   Texts that end an answer
"""

SHOW = """Available Commands:
  /show info         Show details of the model
  /show license      Show the license
  /show modelfile    Show the Modelfile
  /show parameters   Show the parameters
  /show system       Show the system message
  /show template     Show the template
"""

SHORTCUTS = """Available keyboard shortcuts:
  Ctrl + a            Move to the beginning of the line (Home)
  Ctrl + e            Move to the end of the line (End)
   Alt + b            Move back one word
   Alt + f            Move forward one word
  Ctrl + k            Delete from the cursor to the end of the line
  Ctrl + u            Delete from the beginning of the line to the cursor
  Ctrl + w            Delete the word before the cursor
  Ctrl + p, n         Earlier and later messages (Up, Down)
  Ctrl + r            Search in earlier messages

  Ctrl + j            Begin a new line
  Ctrl + g            Edit the message in an editor
  Ctrl + l            Clear the screen
  Ctrl + c            Stop the answer
  Ctrl + z            Suspend the program
  Ctrl + d            Leave (/bye)
"""
