"""One line of progress on a terminal: a bar for what can be measured, a spinner for what cannot."""

from __future__ import annotations

from collections import deque

from pyollama.cli.formats import size

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAMES_PER_SECOND = 10
_SAMPLES = 10
_NARROWEST = 4
_HOUR = 3600


class Spinner:
    """A step without a measure."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.ended = False

    def line(self, width: int, now: float) -> str:
        if self.ended:
            return self.status[:width]
        frame = _SPINNER[int(now * _FRAMES_PER_SECOND) % len(_SPINNER)]
        return f"{self.status} {frame}"[:width]


class Bar:
    """``total`` bytes of which some were there at the beginning. Times are seconds."""

    def __init__(self, status: str, total: int, completed: int, now: float) -> None:
        self.status = status
        self.total = total
        self.completed = completed
        self.ended = False
        self._samples = deque([(now, completed)], maxlen=_SAMPLES + 1)

    def update(self, completed: int, now: float) -> None:
        self.completed = completed
        if now - self._samples[-1][0] >= 1:
            self._samples.append((now, completed))

    def rate(self, now: float) -> float:
        """Bytes per second over the last ten seconds or so; 0 while that is not known."""
        then, completed = self._samples[0]
        return (self.completed - completed) / (now - then) if now - then >= 1 else 0.0

    def line(self, width: int, now: float) -> str:
        share = min(self.completed / self.total, 1.0)
        left = f"{self.status}: {int(share * 100):3d}% ▕"
        if self.completed >= self.total:
            right = f"▏ {size(self.total)}"
        else:
            rate = self.rate(now)
            shown = f"{size(int(rate))}/s" if rate else ""
            left_over = duration((self.total - self.completed) / rate) if rate else ""
            done = f"{size(self.completed)}/{size(self.total)}"
            right = f"▏ {done:<15} {shown:>8} {left_over:>7}".rstrip()
        room = width - len(left) - max(len(right), 36)
        if room < _NARROWEST:
            return f"{left[:-2]} {right[2:]}"[:width]
        return left + ("█" * int(share * room)).ljust(room) + right


def duration(seconds: float) -> str:
    """Two units: ``45s``, ``1m40s``, ``2h5m``; from 99 hours on ``99h+``."""
    whole = int(seconds)
    if whole >= 99 * _HOUR:
        return "99h+"
    if whole >= _HOUR:
        return f"{whole // _HOUR}h{whole % _HOUR // 60}m"
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"
