//! Keys of the user's part of the registry.

use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, ERROR_MORE_DATA, ERROR_SUCCESS, WIN32_ERROR};
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_CURRENT_USER, KEY_READ, KEY_WRITE, REG_EXPAND_SZ, REG_OPTION_NON_VOLATILE, REG_SZ, REG_VALUE_TYPE, RegCloseKey,
    RegCreateKeyExW, RegDeleteValueW, RegOpenKeyExW, RegQueryValueExW, RegSetValueExW,
};

/// An open key of `HKEY_CURRENT_USER`. Errors are sentences with the key's name.
pub(super) struct Key {
    handle: HKEY,
    name: String,
}

impl Key {
    /// Opens a key to look at it; none if there is none.
    pub(super) fn open(name: &str) -> Result<Option<Self>, String> {
        Self::open_to(KEY_READ, name)
    }

    /// Opens a key to change it; none if there is none.
    pub(super) fn open_to_change(name: &str) -> Result<Option<Self>, String> {
        Self::open_to(KEY_READ | KEY_WRITE, name)
    }

    fn open_to(access: u32, name: &str) -> Result<Option<Self>, String> {
        let mut handle: HKEY = std::ptr::null_mut();
        #[allow(unsafe_code, reason = "the registry has no binding in std")]
        // SAFETY: the name ends in NUL and lives over the call; the handle is used only after success.
        let code = unsafe { RegOpenKeyExW(HKEY_CURRENT_USER, wide(name).as_ptr(), 0, access, &raw mut handle) };
        match code {
            ERROR_SUCCESS => Ok(Some(Self { handle, name: name.to_owned() })),
            ERROR_FILE_NOT_FOUND => Ok(None),
            code => Err(told(name, code)),
        }
    }

    /// Opens a key, and makes it if there is none.
    pub(super) fn create(name: &str) -> Result<Self, String> {
        let mut handle: HKEY = std::ptr::null_mut();
        #[allow(unsafe_code, reason = "the registry has no binding in std")]
        // SAFETY: the name ends in NUL and lives over the call; the other pointers may be null by its documentation.
        let code = unsafe {
            RegCreateKeyExW(
                HKEY_CURRENT_USER,
                wide(name).as_ptr(),
                0,
                std::ptr::null(),
                REG_OPTION_NON_VOLATILE,
                KEY_READ | KEY_WRITE,
                std::ptr::null(),
                &raw mut handle,
                std::ptr::null_mut(),
            )
        };
        if code == ERROR_SUCCESS { Ok(Self { handle, name: name.to_owned() }) } else { Err(told(name, code)) }
    }

    /// A value that is text.
    pub(super) fn text(&self, value: &str) -> Result<Option<String>, String> {
        let Some((kind, bytes)) = self.value(value)? else { return Ok(None) };
        if kind != REG_SZ && kind != REG_EXPAND_SZ {
            return Err(format!("{}: the value {value} is no text", self.name));
        }
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
        Ok(Some(String::from_utf16_lossy(&units[..end])))
    }

    /// A value, whatever it is.
    pub(super) fn bytes(&self, value: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.value(value)?.map(|(_, bytes)| bytes))
    }

    fn value(&self, value: &str) -> Result<Option<(REG_VALUE_TYPE, Vec<u8>)>, String> {
        let mut bytes = vec![0_u8; 1024];
        loop {
            let (mut kind, mut length) = (0, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            #[allow(unsafe_code, reason = "the registry has no binding in std")]
            // SAFETY: the key is open; the name ends in NUL; the buffer is as long as `length` says.
            let code = unsafe {
                RegQueryValueExW(
                    self.handle,
                    wide(value).as_ptr(),
                    std::ptr::null(),
                    &raw mut kind,
                    bytes.as_mut_ptr(),
                    &raw mut length,
                )
            };
            match code {
                ERROR_SUCCESS => {
                    bytes.truncate(length as usize);
                    return Ok(Some((kind, bytes)));
                }
                ERROR_FILE_NOT_FOUND => return Ok(None),
                ERROR_MORE_DATA if bytes.len() < 1024 * 1024 => bytes.resize(bytes.len() * 4, 0),
                code => return Err(told(&self.name, code)),
            }
        }
    }

    /// Sets a value to a text.
    pub(super) fn set_text(&self, value: &str, text: &str) -> Result<(), String> {
        let bytes: Vec<u8> = wide(text).into_iter().flat_map(u16::to_le_bytes).collect();
        self.set(value, REG_SZ, &bytes)
    }

    /// Sets a value to bytes.
    #[cfg(test)]
    pub(super) fn set_bytes(&self, value: &str, bytes: &[u8]) -> Result<(), String> {
        self.set(value, windows_sys::Win32::System::Registry::REG_BINARY, bytes)
    }

    fn set(&self, value: &str, kind: REG_VALUE_TYPE, bytes: &[u8]) -> Result<(), String> {
        let length = u32::try_from(bytes.len()).map_err(|_| format!("{}: the value {value} is too long", self.name))?;
        #[allow(unsafe_code, reason = "the registry has no binding in std")]
        // SAFETY: the key is open; the name ends in NUL; the bytes are as many as `length` says.
        let code = unsafe { RegSetValueExW(self.handle, wide(value).as_ptr(), 0, kind, bytes.as_ptr(), length) };
        if code == ERROR_SUCCESS { Ok(()) } else { Err(told(&self.name, code)) }
    }

    /// Takes a value away; one that is not there is no error.
    pub(super) fn remove(&self, value: &str) -> Result<(), String> {
        #[allow(unsafe_code, reason = "the registry has no binding in std")]
        // SAFETY: the key is open; the name ends in NUL and lives over the call.
        let code = unsafe { RegDeleteValueW(self.handle, wide(value).as_ptr()) };
        if matches!(code, ERROR_SUCCESS | ERROR_FILE_NOT_FOUND) { Ok(()) } else { Err(told(&self.name, code)) }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        #[allow(unsafe_code, reason = "the registry has no binding in std")]
        // SAFETY: the handle is open and is used no more.
        unsafe {
            RegCloseKey(self.handle);
        }
    }
}

/// Takes a key away with all below it.
#[cfg(test)]
pub(super) fn remove_tree(name: &str) {
    #[allow(unsafe_code, reason = "the registry has no binding in std")]
    // SAFETY: the name ends in NUL and lives over the call.
    unsafe {
        windows_sys::Win32::System::Registry::RegDeleteTreeW(HKEY_CURRENT_USER, wide(name).as_ptr());
    }
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn told(name: &str, code: WIN32_ERROR) -> String {
    format!(r"HKEY_CURRENT_USER\{name}: {}", std::io::Error::from_raw_os_error(code.cast_signed()))
}
