"""Write number_powers.c: python3 number_powers_generate.py > number_powers.c

For each decimal exponent q the first 128 bits of 10^q (which are those of 5^q),
cut off after the last bit.  From -27 to -1 they are rounded up instead: there
the product with a mantissa that 5^-q divides must come out exact (Lemire 2021,
section 6), and this makes it so.
"""
FIRST, LAST = -342, 324


def bits(q):
    if q >= 0:
        value = 5 ** q
        shift = value.bit_length() - 128
        return value >> shift if shift > 0 else value << -shift
    divisor = 5 ** -q
    value = (1 << (127 + divisor.bit_length())) // divisor
    return value + 1 if q >= -27 else value


print("/* Written by number_powers_generate.py, which says what the bits are. */")
print('#include "base/number_internal.h"')
print()
print("const struct och_power10 och_powers10[OCH_POWER10_LAST - OCH_POWER10_FIRST + 1] = {")
for q in range(FIRST, LAST + 1):
    b = bits(q)
    assert 1 << 127 <= b < 1 << 128
    print(f"        {{0x{b >> 64:016x}, 0x{b & (1 << 64) - 1:016x}}}, /* {q} */")
print("};")
