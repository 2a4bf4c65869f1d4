//! Ranges of IP addresses.

use std::net::IpAddr;
use std::str::FromStr;

/// `10.0.0.0/8`, `fd00::/64`, or one address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    first: u128,
    last: u128,
    ipv6: bool,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Range, String> {
        let refuse = || format!("not a range of addresses such as 10.0.0.0/8: {text:?}");
        let (ip, length) = match text.split_once('/') {
            Some((ip, length)) => (ip, Some(length.parse::<u32>().map_err(|_| refuse())?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| refuse())?;
        let (number, bits) = number_of(ip);
        let rest = bits.checked_sub(length.unwrap_or(bits)).ok_or_else(refuse)?;
        let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
        Ok(Range { first: number & mask, last: number | !mask, ipv6: ip.is_ipv6() })
    }
}

impl Range {
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv6() == self.ipv6 && (self.first..=self.last).contains(&number_of(ip).0)
    }
}

/// Returns an address as a number, and its length in bits.
fn number_of(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(ip) => (u32::from(ip).into(), 32),
        IpAddr::V6(ip) => (ip.into(), 128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_contains_its_addresses_only() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.1.2.3/31", "10.1.2.2", "10.1.2.4"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("fd00:1::/32", "fd00:1:ffff::1", "fd00:2::"),
            ("::/0", "fd00::1", "0.0.0.1"),
        ] {
            let parsed: Range = range.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{range}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{range}");
        }
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/x", "pods"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
