#include "os/process.h"

#include <unistd.h>

unsigned long
och_process_id(void)
{
    return (unsigned long) getpid();
}
