"""Write crc32c_table.c: python3 crc32c_table_generate.py | clang-format > crc32c_table.c

Row i has, for each byte, what it does to the checksum when i more bytes follow.
"""
POLYNOMIAL = 0x82F63B78  # CRC-32C, the coefficient of x^31 in the lowest bit

rows = [[]]
for byte in range(256):
    crc = byte
    for _ in range(8):
        crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    rows[0].append(crc)
for _ in range(7):
    rows.append([crc >> 8 ^ rows[0][crc & 255] for crc in rows[-1]])

print("/* Written by crc32c_table_generate.py, which says what the numbers are. */")
print('#include "base/hash_internal.h"')
print()
print("const uint32_t och_crc32c_table[8][256] = {")
for row in rows:
    print("        {")
    for i in range(0, 256, 7):
        line = ", ".join(f"0x{crc:08x}" for crc in row[i:i + 7])
        print("                " + line + ("," if i + 7 < 256 else ""))
    print("        },")
print("};")
