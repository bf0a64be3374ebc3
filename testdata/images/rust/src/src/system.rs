//! What the system knows and does.

use crate::Result;
use libloading::{Library, Symbol};
use openssl::{stack::Stack, x509::{store::X509StoreBuilder, X509StoreContext, X509}};
use std::{ffi::{CStr, CString}, fs, io::Write, mem, net::ToSocketAddrs, path::Path, process::{Command, Stdio}, ptr};

/// A day in July, in seconds.
const DAY: libc::time_t = 1_500_000_000;

extern "C" fn end(_: libc::c_int) {
    unsafe { libc::_exit(0) }
}

/// heed_sigterm lets the first process of a container be stopped.
pub fn heed_sigterm() {
    unsafe { libc::signal(libc::SIGTERM, end as extern "C" fn(libc::c_int) as libc::sighandler_t) };
}

extern "C" {
    fn tzset();
    fn strftime(s: *mut libc::c_char, max: usize, format: *const libc::c_char, tm: *const libc::tm) -> usize;
    fn strftime_l(s: *mut libc::c_char, max: usize, format: *const libc::c_char, tm: *const libc::tm, l: libc::locale_t) -> usize;
}

/// time is the time of day in a zone of the system's.
pub fn time(zone: &str) -> Result<String> {
    if !Path::new("/usr/share/zoneinfo").join(zone).is_file() {
        return Err(format!("no zone {zone}").into());
    }
    std::env::set_var("TZ", zone);
    let mut out = [0; 100];
    unsafe {
        tzset();
        let mut tm: libc::tm = mem::zeroed();
        libc::localtime_r(&DAY, &mut tm);
        strftime(out.as_mut_ptr(), out.len(), b"%F %T %Z %z\0".as_ptr().cast(), &tm);
        Ok(CStr::from_ptr(out.as_ptr()).to_str()?.into())
    }
}

/// date is a date in the words of a locale of the system's.
pub fn date(locale: &str) -> Result<String> {
    let mut out = [0; 100];
    let name = CString::new(locale)?;
    unsafe {
        let l = libc::newlocale(libc::LC_ALL_MASK, name.as_ptr(), ptr::null_mut());
        if l.is_null() {
            return Err(format!("no locale {locale}").into());
        }
        let mut tm: libc::tm = mem::zeroed();
        libc::gmtime_r(&DAY, &mut tm);
        strftime_l(out.as_mut_ptr(), out.len(), b"%A %e %B %Y\0".as_ptr().cast(), &tm, l);
        libc::freelocale(l);
        Ok(CStr::from_ptr(out.as_ptr()).to_str()?.into())
    }
}

pub fn user(name: &str) -> Result<String> {
    let user = users::get_user_by_name(name).ok_or("no such user")?;
    let group = users::get_group_by_gid(user.primary_group_id()).ok_or("no such group")?;
    Ok(format!("{} of {}", user.name().to_string_lossy(), group.name().to_string_lossy()))
}

pub fn resolve(name: &str) -> Result<String> {
    let mut addresses: Vec<_> = (name, 80).to_socket_addrs()?.map(|a| a.ip().to_string()).collect();
    addresses.sort();
    Ok(addresses.join(" "))
}

/// trust counts the authorities and says whether one of them is trusted.
pub fn trust(path: &str) -> Result<String> {
    let all = X509::stack_from_pem(&fs::read(openssl_bundle())?)?;
    let root = X509::from_pem(&fs::read(path)?)?;
    let mut store = X509StoreBuilder::new()?;
    store.set_default_paths()?;
    let store = store.build();
    let trusted = X509StoreContext::new()?.init(&store, &root, &*Stack::new()?, |c| c.verify_cert())?;
    Ok(format!("{} authorities, trusted: {trusted}", all.len()))
}

fn openssl_bundle() -> String {
    std::env::var("SSL_CERT_FILE").unwrap_or_else(|_| "/etc/ssl/certs/ca-certificates.crt".into())
}

/// plugin applies a shared library to a text.
pub fn plugin(path: &str, text: &str) -> Result<String> {
    let text = CString::new(text)?;
    unsafe {
        let library = Library::new(fs::canonicalize(path)?)?;
        let apply: Symbol<unsafe extern "C" fn(*const libc::c_char) -> libc::c_ulong> = library.get(b"apply")?;
        Ok(format!("{:08x}", apply(text.as_ptr())))
    }
}

/// run puts input through a program.
pub fn run(program: &str, args: &[&str], input: &str) -> Result<String> {
    run_bytes(program, args, input.as_bytes())
}

fn run_bytes(program: &str, args: &[&str], input: &[u8]) -> Result<String> {
    let mut child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
        .map_err(|e| format!("{program}: {e}"))?;
    child.stdin.take().unwrap().write_all(input)?;
    let out = child.wait_with_output()?;
    if !out.status.success() {
        return Err(format!("{program}: {}", out.status).into());
    }
    Ok(String::from_utf8(out.stdout)?)
}

/// decode turns bytes in hexadecimal digits into text.
pub fn decode(charset: &str, hex: &str) -> Result<String> {
    let mut bytes = Vec::new();
    for i in (0..hex.len()).step_by(2) {
        bytes.push(u8::from_str_radix(&hex[i..i + 2], 16)?);
    }
    run_bytes("iconv", &["-f", charset, "-t", "UTF-8"], &bytes)
}
