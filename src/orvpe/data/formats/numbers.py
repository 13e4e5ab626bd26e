"""Many decimal numbers of a text at once, to the very double that ``float()`` gives.

The 16 bytes that end where a token ends are two little-endian words, and every step is done on all tokens: bytes before
the token become digit zero, the point is taken out, and eight digits of a word become an integer with three products
(pairs, fours, eights).  A whole number below 2^53 and a power of ten up to 10^22 are both exact doubles, so that their
quotient is rounded once, as ``float()`` rounds.  What is longer, has an exponent, or is no number goes to ``float()``.
"""

from __future__ import annotations

import numpy as np

_U = np.uint64
_BYTES = 16  # of a token without its sign, the point among them
_ONES = 0x0101010101010101
_ZEROS = _U(_ONES * ord("0"))
_POINTS = _U(_ONES * (ord("0") ^ ord(".")))
_HIGH = _U(_ONES * 0x80)
_LOW = _U(_ONES * 0x7F)
_OVER_NINE = _U(_ONES * (0x80 - 10))
_ONE, _THREE, _SEVEN, _BYTE, _SEVEN_BYTES, _SIGN = _U(1), _U(3), _U(7), _U(8), _U(56), _U(63)
# a point in byte k of the last word has 7 - k digits after it, in the first 15 - k: the product's highest byte
_AFTER_LAST, _AFTER_FIRST = _U(0x0706050403020100), _U(0x0F0E0D0C0B0A0908)
# tens and ones to pairs, pairs to fours, fours to eights: the lower of two neighbours counts more
_PAIRS = (
    (_U(10 * 2**8 + 1), _U(8), _U(0x00FF00FF00FF00FF)),
    (_U(100 * 2**16 + 1), _U(16), _U(0x0000FFFF0000FFFF)),
    (_U(10_000 * 2**32 + 1), _U(32), _U(0x00000000FFFFFFFF)),
)
_HUNDRED_MILLION = _U(10**8)
_INEXACT = _U((1 << 64) - (1 << 53))  # bits of whole numbers of 2^53 and more
_TENS = np.array([float(10**n) for n in range(_BYTES)])


def _kept(first: int) -> np.ndarray:
    """(17,) for each length of a token: a mask of its bytes in the word that ends ``first`` bytes before its end."""
    count = np.clip(np.arange(_BYTES + 1) - first, 0, 8)  # bytes of the token in this word, the highest ones
    masks = [(1 << 64) - (1 << 8 * (8 - int(n))) for n in count]
    return np.array(masks, dtype=np.uint64)


_IN_LAST, _IN_FIRST = _kept(0), _kept(8)


def floats(data: bytes, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The numbers data[start:end], none of which has white space in it.

    Args:
        data: a text.
        start, end: (n,) int64 places in it.

    Returns:
        (n,) float64, bit for bit what ``float(data[start:end])`` gives.

    Raises:
        ValueError: a token that ``float()`` does not take, an empty one among them.
    """
    if not len(start):
        return np.zeros(0)
    if int(end.min()) < _BYTES or int(start.max()) >= len(data):  # what is looked at would lie outside of the text
        data, start, end = bytes(_BYTES) + data + b" ", start + _BYTES, end + _BYTES
    head = np.frombuffer(data, dtype=np.uint8)[start]
    minus = head == ord("-")
    length = end - start
    length -= minus | (head == ord("+"))

    # a view of every 16 bytes of the text, beginning at each; machines that are big-endian convert on the way
    pieces = np.ndarray((len(data) - _BYTES + 1,), f"V{_BYTES}", data, strides=(1,))
    words = pieces[end - _BYTES].view("<u8").reshape(-1, 2)
    first, last = words[:, 0] ^ _ZEROS, words[:, 1] ^ _ZEROS  # a digit is 0 to 9 now
    first &= _IN_FIRST.take(length, mode="clip")
    last &= _IN_LAST.take(length, mode="clip")

    point = _point(last)  # 0x01 in the byte that is a point
    found = (point != 0).astype(np.uint64)
    last = _without(last, point, found)
    point *= _AFTER_LAST
    point >>= _SEVEN_BYTES  # digits after the point
    # in most tokens nothing but zeros reaches into the first word
    some = np.flatnonzero(first)
    upper, known = first[some], found[some]
    upper_point = _point(upper)
    upper_point &= known - _ONE  # a second point stays where it is, and is no digit
    carried = (upper >> _SEVEN_BYTES) * known  # a byte out of the first word, where the point is in the last
    last[some] |= carried
    upper_found = (upper_point != 0).astype(np.uint64)
    upper = _without(upper, upper_point, upper_found)
    upper <<= known << _THREE
    point[some] |= (upper_point * _AFTER_FIRST) >> _SEVEN_BYTES
    found[some] |= upper_found

    odd = last + _OVER_NINE
    odd |= last  # bit 7 of each byte that is no digit
    odd[some] |= (upper + _OVER_NINE) | upper
    odd &= _HIGH
    mantissa = _eight(last)
    mantissa[some] += _eight(upper) * _HUNDRED_MILLION
    odd |= mantissa & _INEXACT
    # a point alone is no number
    to_float = (odd != 0) | (length <= found.view(np.int64)) | (length > _BYTES)
    values = mantissa.astype(np.float64)
    values /= _TENS[point.view(np.int64)]
    signed = values.view(np.uint64)
    signed |= minus.astype(np.uint64) << _SIGN
    for i in np.flatnonzero(to_float):
        values[i] = float(data[start[i] : end[i]])
    return values


def _point(word: np.ndarray) -> np.ndarray:
    """0x01 in the lowest byte that is a point, 0 elsewhere; bytes are characters without the bits of '0'."""
    other = word ^ _POINTS
    bits = ((other & _LOW) + _LOW) | other
    bits = ~bits & _HIGH  # bit 7 of each byte that was a point
    bits &= -bits
    bits >>= _SEVEN
    return bits


def _without(word: np.ndarray, point: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The word without its point: the bytes below move up by one."""
    under = point - found  # all bits of the bytes below; 0 where there is no point
    upto = (point << _BYTE) - found  # those and the point's
    under &= word
    under <<= _BYTE
    np.invert(upto, out=upto)
    upto &= word
    upto |= under
    return upto


def _eight(word: np.ndarray) -> np.ndarray:
    """The number of eight digits, the first of them in the lowest byte; changes ``word``."""
    for factor, shift, mask in _PAIRS:
        word *= factor
        word >>= shift
        word &= mask
    return word
