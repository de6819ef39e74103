"""Why files are skipped: the reasons, and the rules that give one by the name alone."""

from __future__ import annotations

import re

from indexer.paths import escape_path

# Reasons to leave out a file of the tree, as reports count them. What git ignores, the
# state folder and version control's own folders do not belong to the tree: nobody counts
# them. Of folders that are left out as a whole, each counts as one.
IGNORED = "ignored"  # by a .codxignore; as a whole outside git
BY_DEFAULT = "excluded_by_default"  # a folder that no rule of the project names
WORKTREE = "worktree"  # another work tree of a repository that is in the tree already
SYMLINK = "symlink"
SPECIAL = "special"  # FIFO, socket, device
SECRET = "secret"
LOCK_FILE = "lock_file"
GENERATED = "generated"
BINARY = "binary"
PATH_TOO_LONG = "path_too_long"
EMPTY = "empty"
TOO_LARGE = "too_large"

# UTF-8 bytes of an escaped path: the size of the column that holds it.
MAX_PATH_BYTES = 4096

# Names are compared in lower case.
LOCK_FILE_NAMES = frozenset("""
    bun.lock bun.lockb cargo.lock composer.lock conda-lock.yml deno.lock flake.lock
    gemfile.lock go.sum go.work.sum gradle.lockfile mix.lock npm-shrinkwrap.json
    package-lock.json package.resolved packages.lock.json pdm.lock pipfile.lock pixi.lock
    pnpm-lock.yaml podfile.lock poetry.lock pubspec.lock uv.lock yarn.lock
    """.split())

SECRET_NAMES = frozenset("""
    .dockercfg .envrc .git-credentials .htpasswd .netrc .npmrc .pgpass .pypirc .s3cfg
    .vault-token _netrc credentials credentials.json id_dsa id_ecdsa id_ecdsa_sk id_ed25519
    id_ed25519_sk id_rsa master.key secrets.yaml secrets.yml service-account.json
    """.split())

SECRET_EXTENSIONS = frozenset(
    "gpg jks kdbx key keystore ovpn p12 p8 pem pfx pgp ppk tfstate".split()
)

SECRET_PATTERN = re.compile(
    # `.env` and its variants, but not the templates that projects share.
    r"\.env(?![a-z0-9])(?!.*[._-](?:example|sample|template|dist|defaults)$).*"
    r"|.+\.env|.*\.tfvars|terraform\.tfstate\..*",
    re.DOTALL,
)

GENERATED_PATTERN = re.compile(
    r".*(?:[.-]min\.(?:js|mjs|cjs|css)|\.(?:bundle|chunk)\.(?:js|mjs|cjs|css)|\.map"
    r"|_pb2(?:_grpc)?\.pyi?|\.pb(?:\.gw)?\.go|\.pb\.(?:cc|h)|\.g\.dart|\.freezed\.dart"
    r"|\.designer\.cs|\.snap)",
    re.DOTALL,
)

# Only what is never text. An extension that some language shares (`dot`, `mo`, `ts`) is
# decided by the bytes of the file.
BINARY_EXTENSIONS = frozenset(
    # images, video, sound, fonts
    """
    ai avif bmp cur dds eps exr gif heic heif hdr icns ico jfif jp2 jpeg jpg jxl png psd raw
    tga tif tiff webp xcf
    3gp avi flv m4v mkv mov mp4 mpeg mpg ogv webm wmv
    aac aif aiff amr flac m4a mid midi mp3 oga ogg opus wav wma
    eot otf ttc ttf woff woff2
    """
    # archives, packages, disk images
    """
    7z apk ar br bz2 cab cpio crate crx deb dmg ear gem gz img ipa iso jar lz lz4 lzma msi
    nupkg pkg qcow2 rar rpm tar tbz tbz2 tgz txz vdi vmdk war whl xpi xz z zip zst
    """
    # compiled code and machine data
    """
    a beam bin class dex dll dylib elc exe hi ko lib node nib o obj pch pdb pyc pyd pyo rlib
    rmeta so swiftmodule wasm
    avro bson ckpt db feather gguf h5 hdf5 joblib keras lmdb mdb npy npz onnx orc
    parquet pb pickle pkl pt pth rdb safetensors sav shelve sqlite sqlite3 tfevents tflite
    tfrecord
    """
    # documents and models without lines of text
    """
    doc docm docx dotx epub mobi numbers odg odp ods odt pages pdf potx pps ppsx
    ppt pptm pptx vsd vsdx xls xlsb xlsm xlsx
    3ds blend dwg fbx glb skp stl uasset
    """.split()
)


def skip_reason_by_path(path: str, *, include_secrets: bool) -> str | None:
    """The reason to skip a file for its path, relative to the project, or None."""
    name = path[path.rfind("/") + 1 :]
    if reason := skip_reason_by_name(name, include_secrets=include_secrets):
        return reason
    # A character takes at most 4 bytes, escaped or not.
    if 4 * len(path) > MAX_PATH_BYTES:
        if len(escape_path(path).encode()) > MAX_PATH_BYTES:
            return PATH_TOO_LONG
    return None


def skip_reason_by_name(name: str, *, include_secrets: bool = False) -> str | None:
    """The reason to skip a file for its name, without folders, or None."""
    name = name.lower()
    _, dot, extension = name.rpartition(".")
    if not include_secrets and (
        name in SECRET_NAMES
        or (dot and extension in SECRET_EXTENSIONS)
        or SECRET_PATTERN.fullmatch(name)
    ):
        return SECRET
    if name in LOCK_FILE_NAMES:
        return LOCK_FILE
    if GENERATED_PATTERN.fullmatch(name):
        return GENERATED
    if name == ".ds_store":
        return BINARY
    return BINARY if dot and extension in BINARY_EXTENSIONS else None
