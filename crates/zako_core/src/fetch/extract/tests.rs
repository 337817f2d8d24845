#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use tar::{EntryType, Header};

use super::*;

/// A tar of entries as they are given: kind, name, and the text or where a link leads. Names are written unchecked.
fn tarred(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, name, text) in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(if name.ends_with(".sh") { 0o755 } else { 0o640 });
        let mut body = text.as_bytes();
        if kind.is_symlink() || kind.is_hard_link() {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(body);
            body = b"";
        }
        header.set_size(body.len() as u64);
        header.set_cksum();
        builder.append(&header, body).unwrap();
    }
    builder.into_inner().unwrap()
}

/// What is in the folder: `name=text`, `name*=text` for a program, `name->link`, `name/`; or the error.
fn extracted(archive: &[u8], strip: u32) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let (file, to) = (dir.path().join("archive"), dir.path().join("to"));
    fs::write(&file, archive).unwrap();
    fs::create_dir(&to).unwrap();
    let result = extract(&file, &to, strip);
    let beside: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(beside.len(), 2, "something was written outside");
    result.map_err(|error| error.to_string())?;
    let (mut found, mut folders) = (Vec::new(), vec![to.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let place = entry.unwrap().path();
            let name = shown(place.strip_prefix(&to).unwrap());
            let metadata = fs::symlink_metadata(&place).unwrap();
            if metadata.is_symlink() {
                found.push(format!("{name}->{}", shown(&fs::read_link(place).unwrap())));
            } else if metadata.is_dir() {
                found.push(format!("{name}/"));
                folders.push(place);
            } else {
                let text = fs::read_to_string(&place).unwrap();
                let star = match metadata.permissions().mode() & 0o777 {
                    0o755 => "*",
                    0o644 => "",
                    other => panic!("{name} has mode {other:o}"),
                };
                found.push(format!("{name}{star}={text}"));
            }
        }
    }
    found.sort();
    Ok(found)
}

const GOOD: [(EntryType, &str, &str); 5] = [
    (EntryType::Directory, "x-1/", ""),
    (EntryType::Regular, "x-1/a", "A"),
    (EntryType::Regular, "x-1/bin/run.sh", "R"),
    (EntryType::Symlink, "x-1/bin/b", "../a"),
    (EntryType::Link, "x-1/c", "x-1/a"),
];

#[test]
fn every_format_gives_the_same() {
    let tar = tarred(&GOOD);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(
        &tar[..],
        ruzstd::encoding::CompressionLevel::Uncompressed,
    );
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let plain = zip::write::SimpleFileOptions::default().unix_permissions(0o640);
    zip.add_directory("x-1", plain).unwrap();
    for (name, text, mode) in [
        ("x-1/a", "A", 0o640),
        ("x-1/bin/run.sh", "R", 0o755),
        ("x-1/c", "A", 0o640),
    ] {
        zip.start_file(name, plain.unix_permissions(mode)).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.add_symlink("x-1/bin/b", "../a", plain).unwrap();
    let zip = zip.finish().unwrap().into_inner();
    let expected = ["a=A", "bin/", "bin/b->../a", "bin/run.sh*=R", "c=A"];
    for archive in [&tar, &gzip.finish().unwrap(), &zstd, &zip] {
        assert_eq!(extracted(archive, 1).unwrap(), expected);
    }
    assert_eq!(extracted(&tar, 0).unwrap().len(), 6);
}

#[test]
fn xz_is_known() {
    // A tar of the file `a`, compressed by liblzma.
    let text = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4Cf/AFRdADCAM1AYaImDAdzibiEFRld82HL+/YrTwHbLjAH8uiYLZYgTMZVtJ44KAMrKB54LzQxdaXk9FrCfw2Tht2CDf76WwBkDS6Pn2pCdxiI7WiaOJQALAAAyGAKn4crGxAABcIBQAAAALGacsrHEZ/sCAAAAAARZWg==";
    let xz = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
    assert_eq!(extracted(&xz, 0).unwrap(), ["a=A"]);
}

#[test]
fn nothing_gets_out() {
    use EntryType::{Directory, Fifo, Link, Regular, Symlink};
    for (entries, message) in [
        (&[(Regular, "../x", "X")][..], "written outside"),
        (&[(Regular, "a/../../x", "X")], "written outside"),
        (&[(Regular, "/x", "X")], "written outside"),
        (&[(Symlink, "l", "/etc")], "leads out"),
        (&[(Symlink, "l", "..")], "leads out"),
        (&[(Symlink, "a/l", "../../x")], "leads out"),
        (&[(Symlink, "a/l", "b/../../..")], "leads out"),
        // Each step looks harmless.
        (
            &[(Symlink, "s", "."), (Symlink, "s/s/x", "../..")],
            "through a link",
        ),
        (
            &[(Symlink, "s", "d"), (Regular, "s/x", "X")],
            "through a link",
        ),
        (
            &[(Symlink, "s", "d"), (Directory, "s/x", "")],
            "through a link",
        ),
        (
            &[(Symlink, "d/a", ".."), (Symlink, "x", "d/a/..")],
            "leads out",
        ),
        (&[(Regular, "x", "X"), (Symlink, "x", "y")], "there twice"),
        (&[(Symlink, "x", "y"), (Regular, "x", "X")], "there twice"),
        (&[(Link, "x", "../../etc/passwd")], "written outside"),
        (&[(Symlink, "s", "d"), (Link, "x", "s/y")], "through a link"),
        (&[(Symlink, "s", "d"), (Link, "x", "s")], "neither a file"),
        (&[(Fifo, "x", "")], "neither a file"),
    ] {
        let error = extracted(&tarred(entries), 0).unwrap_err();
        assert!(error.contains(message), "{entries:?}: {error}");
    }
}

#[test]
fn what_is_no_archive_is_told() {
    let error = |bytes: &[u8], strip| extracted(bytes, strip).unwrap_err();
    assert!(error(b"hello", 0).contains("no archive"));
    assert!(error(b"", 0).contains("no archive"));
    assert!(error(&tarred(&GOOD), 3).contains("nothing is left"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tarred(&GOOD)).unwrap();
    let whole = gzip.finish().unwrap();
    error(&whole[..whole.len() / 2], 0);
}
