#include "fuzz/heap_short.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace
{

/* In front of every block; those taken while memory is short are in a ring. */
struct alignas(std::max_align_t) head {
    head *older, *newer; /* NULL: not in the ring */
};

head ring = {&ring, &ring};
bool is_short;
std::uint64_t n_left;

void *
take(std::size_t size) noexcept
{
    if (is_short && n_left == 0)
        return nullptr;
    if (size > SIZE_MAX - sizeof(head))
        return nullptr;
    head *block = static_cast<head *>(std::malloc(sizeof(head) + size));
    if (block == nullptr)
        return nullptr;
    *block = head{nullptr, nullptr};
    if (is_short) {
        n_left--;
        *block = head{ring.older, &ring};
        ring.older->newer = block;
        ring.older = block;
    }
    return block + 1;
}

void *
take_or_throw(std::size_t size)
{
    void *bytes = take(size);
    if (bytes == nullptr)
        throw std::bad_alloc();
    return bytes;
}

void
give_back(void *bytes) noexcept
{
    if (bytes == nullptr)
        return;
    head *block = static_cast<head *>(bytes) - 1;
    if (block->newer != nullptr) {
        block->older->newer = block->newer;
        block->newer->older = block->older;
    }
    std::free(block);
}

} // namespace

void
fuzz_heap_shorten(uint64_t n)
{
    is_short = true;
    n_left = n;
}

void
fuzz_heap_restore(void)
{
    is_short = false;
    while (ring.older != &ring)
        give_back(ring.older + 1);
}

void *
operator new(std::size_t size)
{
    return take_or_throw(size);
}

void *
operator new[](std::size_t size)
{
    return take_or_throw(size);
}

void *
operator new(std::size_t size, const std::nothrow_t &) noexcept
{
    return take(size);
}

void *
operator new[](std::size_t size, const std::nothrow_t &) noexcept
{
    return take(size);
}

void
operator delete(void *bytes) noexcept
{
    give_back(bytes);
}

void
operator delete[](void *bytes) noexcept
{
    give_back(bytes);
}

void
operator delete(void *bytes, std::size_t) noexcept
{
    give_back(bytes);
}

void
operator delete[](void *bytes, std::size_t) noexcept
{
    give_back(bytes);
}
