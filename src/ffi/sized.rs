// Structs that begin with `size_t struct_size`. They are copied in and out, so that programs and libraries of different versions
// work together.

use std::{ffi::c_int, mem::MaybeUninit, ptr, slice};

use super::guard::{INVALID, NULL, Refusal};

/// No struct will ever be longer. A larger size means that the program has not initialised it.
const LARGEST: usize = 4096;

/// A struct of the C API.
///
/// # Safety
/// `repr(C)`, with `struct_size: usize` first, and all zero bytes are a valid value of it.
pub(super) unsafe trait Versioned: Copy {
    /// Where the struct ended in each earlier version: the offset of the first member that was added later.
    const EARLIER: &'static [usize] = &[];
}

/// Checks the size that a program says its struct has, and that members unknown to this library are zero.
///
/// A smaller size must be that of an earlier version. Any other size ends inside a member, or between members that were added
/// together: half a pointer would be followed, and half a number taken for a whole one.
///
/// # Safety
/// `source` begins with a `usize`. If that is a possible size, `source` is valid for reads of that many bytes.
unsafe fn size_of_struct<T: Versioned>(source: *const T) -> Result<usize, Refusal> {
    if source.is_null() {
        return Err(NULL);
    }
    // SAFETY: every such struct begins with its size.
    let size = unsafe { source.cast::<usize>().read_unaligned() };
    if !T::EARLIER.contains(&size) && !(size_of::<T>()..=LARGEST).contains(&size) {
        return Err(INVALID);
    }
    if let Some(excess) = size.checked_sub(size_of::<T>()) {
        // SAFETY: the program says that its struct is that long.
        let excess = unsafe { slice::from_raw_parts(source.cast::<u8>().add(size_of::<T>()), excess) };
        if excess.iter().any(|byte| *byte != 0) {
            return Err(INVALID);
        }
    }
    Ok(size)
}

/// A copy of a program's struct. Members that the program does not know are zero.
///
/// # Safety
/// As for `size_of_struct`.
pub(super) unsafe fn copy_in<T: Versioned>(source: *const T) -> Result<T, Refusal> {
    // SAFETY: as the caller promises.
    let size = unsafe { size_of_struct(source) }?;
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: both are valid for the smaller size, and all zero bytes are valid where nothing is copied.
    unsafe {
        ptr::copy_nonoverlapping(source.cast::<u8>(), copy.as_mut_ptr().cast::<u8>(), size.min(size_of::<T>()));
        Ok(copy.assume_init())
    }
}

/// Where a program wants a struct written.
pub(super) struct Out<T> {
    target: *mut T,
    size: usize,
}

impl<T: Versioned> Out<T> {
    /// Checks the program's struct and zeroes all of it but its size.
    ///
    /// # Safety
    /// As for `size_of_struct`, and valid for as many writes until the last use of the result.
    pub(super) unsafe fn open(target: *mut T) -> Result<Self, Refusal> {
        // SAFETY: as the caller promises.
        let size = unsafe { size_of_struct(target) }?;
        let head = size_of::<usize>();
        // SAFETY: the caller promises that these bytes can be written, and both sizes are larger than `head`.
        unsafe { target.cast::<u8>().add(head).write_bytes(0, size.min(size_of::<T>()) - head) };
        Ok(Self { target, size })
    }

    /// Like `open`; NULL means that the struct is not wanted.
    ///
    /// # Safety
    /// As for `open`.
    pub(super) unsafe fn open_or_null(target: *mut T) -> Result<Option<Self>, Refusal> {
        // SAFETY: as the caller promises.
        if target.is_null() { Ok(None) } else { unsafe { Self::open(target) }.map(Some) }
    }

    /// Writes the members that the program knows. The size stays as it is.
    pub(super) fn write(&mut self, value: &T) {
        let head = size_of::<usize>();
        let count = self.size.min(size_of::<T>()) - head;
        // SAFETY: `open` was told that `size` bytes can be written, and `count` stays below both sizes.
        unsafe {
            let source = ptr::from_ref(value).cast::<u8>().add(head);
            ptr::copy_nonoverlapping(source, self.target.cast::<u8>().add(head), count);
        }
    }
}

/// Reads a number that is a yes or no.
pub(super) fn flag(value: u32) -> Result<bool, Refusal> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(INVALID),
    }
}

/// `true` as C writes it.
pub(super) fn int(value: bool) -> c_int {
    c_int::from(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Two {
        struct_size: usize,
        first: usize,
        second: usize,
    }

    // SAFETY: repr(C), the size comes first, and all members are numbers.
    unsafe impl Versioned for Two {
        const EARLIER: &'static [usize] = &[std::mem::offset_of!(Two, second)];
    }

    const WORD: usize = size_of::<usize>();

    /// What a program with a struct of `memory` would see.
    fn read(memory: &[usize]) -> Result<Two, Refusal> {
        // SAFETY: the tests below say a size that `memory` has, or none that is possible.
        unsafe { copy_in(memory.as_ptr().cast()) }
    }

    #[test]
    fn a_smaller_struct_is_filled_up_with_zero() {
        assert_eq!(read(&[2 * WORD, 7]), Ok(Two { struct_size: 2 * WORD, first: 7, second: 0 }));
    }

    #[test]
    fn a_size_at_which_no_version_ended_is_refused() {
        for size in (0..3 * WORD).filter(|size| *size != 2 * WORD) {
            assert_eq!(read(&[size, 1, 2]), Err(INVALID), "{size}");
        }
    }

    #[test]
    fn a_larger_struct_is_taken_when_the_excess_is_zero() {
        assert_eq!(read(&[5 * WORD, 1, 2, 0, 0]), Ok(Two { struct_size: 5 * WORD, first: 1, second: 2 }));
        assert_eq!(read(&[5 * WORD, 1, 2, 0, 3]), Err(INVALID));
    }

    #[test]
    fn a_forgotten_initializer_is_refused() {
        assert_eq!(read(&[0, 1, 2]), Err(INVALID));
        assert_eq!(read(&[WORD - 1, 1, 2]), Err(INVALID));
        assert_eq!(read(&[usize::MAX, 1, 2]), Err(INVALID));
        // SAFETY: NULL is not read.
        assert_eq!(unsafe { copy_in::<Two>(ptr::null()) }, Err(NULL));
    }

    #[test]
    fn nothing_is_written_past_the_programs_struct() {
        let mut memory = [2 * WORD, 7, 8, 9];
        // SAFETY: two words, of which `memory` has four.
        let mut out = unsafe { Out::<Two>::open(memory.as_mut_ptr().cast()) }.ok().unwrap();
        out.write(&Two { struct_size: 0, first: 1, second: 2 });
        assert_eq!(memory, [2 * WORD, 1, 8, 9]);
    }

    #[test]
    fn opening_zeroes_all_but_the_size() {
        let mut memory = [3 * WORD, 7, 8, 9];
        // SAFETY: three words, of which `memory` has four.
        assert!(unsafe { Out::<Two>::open(memory.as_mut_ptr().cast()) }.is_ok());
        assert_eq!(memory, [3 * WORD, 0, 0, 9]);
    }
}
