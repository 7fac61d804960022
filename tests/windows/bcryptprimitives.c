/* Rust's std takes its random numbers from ProcessPrng of bcryptprimitives.dll, which Wine 8 has not. This library of the same
 * name lies beside the tests' programs, and takes them from the system's older function. Only the tests under Wine use it. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID bytes, ULONG count);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count) {
    return SystemFunction036(bytes, (ULONG)count);
}
