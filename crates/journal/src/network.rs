//! Which file systems lie behind a network: there locks and the order of writes are promises that nobody keeps.

use std::path::Path;

/// The network file system a directory lies on, where it can be told.
pub(crate) fn kind_of(directory: &Path) -> Option<String> {
    system::kind_of(directory)
}

#[cfg(target_os = "linux")]
mod system {
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    const FUSE: u32 = 0x6573_5546;
    const KINDS: &[(u32, &str)] = &[
        (0x0000_6969, "nfs"),
        (0x0000_517B, "smb"),
        (0xFF53_4D42, "cifs"),
        (0xFE53_4D42, "smb"),
        (0x0000_564C, "ncp"),
        (0x5346_414F, "afs"),
        (0x6B41_4653, "afs"),
        (0x7375_7245, "coda"),
        (0x00C3_6400, "ceph"),
        (0x0BD0_0BD0, "lustre"),
        (0x4750_4653, "gpfs"),
        (0x7461_636F, "ocfs2"),
    ];

    pub(super) fn kind_of(directory: &Path) -> Option<String> {
        let magic = rustix::fs::statfs(directory).ok()?.f_type as u32;
        if magic == FUSE {
            let device = std::fs::metadata(directory).ok()?.dev();
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
            return super::network_fuse(&mounts, device).map(str::to_owned);
        }
        KINDS.iter().find(|(known, _)| *known == magic).map(|(_, name)| (*name).to_owned())
    }
}

#[cfg(target_vendor = "apple")]
mod system {
    use std::path::Path;

    const KINDS: &[&str] = &["nfs", "smbfs", "afpfs", "webdav", "ftp"];

    pub(super) fn kind_of(directory: &Path) -> Option<String> {
        let stat = rustix::fs::statfs(directory).ok()?;
        let name: Vec<u8> = stat.f_fstypename.iter().map(|c| *c as u8).take_while(|c| *c != 0).collect();
        let name = String::from_utf8(name).ok()?;
        KINDS.contains(&name.as_str()).then_some(name)
    }
}

#[cfg(windows)]
mod system {
    use std::path::{Component, Path, Prefix};

    pub(super) fn kind_of(directory: &Path) -> Option<String> {
        match directory.components().next()? {
            Component::Prefix(prefix) => match prefix.kind() {
                Prefix::UNC(..) | Prefix::VerbatimUNC(..) => Some("a share".to_owned()),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple", windows)))]
mod system {
    pub(super) fn kind_of(_directory: &std::path::Path) -> Option<String> {
        None
    }
}

/// The type of the FUSE mount of a device, if it is known to reach over a network.
#[cfg(any(target_os = "linux", test))]
fn network_fuse(mountinfo: &str, device: u64) -> Option<&str> {
    const KINDS: &[&str] = &[
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.gcsfuse",
        "fuse.mount-s3",
        "fuse.ceph-fuse",
        "fuse.davfs",
        "fuse.curlftpfs",
        "fuse.goofys",
        "fuse.juicefs",
        "fuse.moosefs",
        "fuse.blobfuse2",
    ];
    let (major, minor) = (
        ((device >> 8) & 0xFFF) | ((device >> 32) & !0xFFF),
        (device & 0xFF) | ((device >> 12) & 0xFFF_FF00),
    );
    let wanted = format!("{major}:{minor}");
    mountinfo.lines().find_map(|line| {
        let mut words = line.split(' ');
        if words.nth(2)? != wanted {
            return None;
        }
        let kind = words.skip_while(|word| *word != "-").nth(1)?;
        KINDS.contains(&kind).then_some(kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
36 35 98:0 / /mnt/a rw,noatime master:1 - ext4 /dev/root rw\n\
51 36 0:45 / /home/me/far rw,nosuid - fuse.sshfs me@host:/ rw,user_id=1000\n\
52 36 0:46 / /home/me/near rw,nosuid shared:9 - fuse.ntfs-3g /dev/sdb1 rw\n";

    #[test]
    fn fuse_is_refused_only_where_it_is_known_to_reach_over_a_network() {
        assert_eq!(network_fuse(MOUNTS, 45), Some("fuse.sshfs"));
        assert_eq!(network_fuse(MOUNTS, 46), None);
        assert_eq!(network_fuse(MOUNTS, 47), None);
    }

    #[test]
    fn a_local_directory_is_no_network() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(kind_of(directory.path()), None);
    }
}
