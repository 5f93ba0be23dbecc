#!/bin/sh
# sysroot.sh ARCH FOLDER PACKAGE...: unpacks Debian's packages of another architecture into FOLDER.
# Nothing is installed: apt gets a state of its own, in which that architecture is the only one.
set -eu
arch=$1
folder=$2
shift 2
case $arch in
x86_64) debian=amd64 ;;
aarch64) debian=arm64 ;;
*)
    echo "no Debian architecture is known for $arch" >&2
    exit 1
    ;;
esac
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
    echo "packages of another architecture can be had on Debian only" >&2
    exit 1
}

apt=$folder.apt
new=$folder.new
rm -rf "$new"
mkdir -p "$apt/lists/partial" "$apt/packages" "$new"
: >"$apt/status"
private() {
    # Any user may do this; a sandbox user of apt's could not write here.
    apt-get -q -o "APT::Architecture=$debian" -o "APT::Architectures::=$debian" \
        -o "Dir::State::lists=$apt/lists" -o "Dir::State::status=$apt/status" \
        -o "Dir::Cache=$apt" -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}
private update
(cd "$apt/packages" && rm -f ./*.deb && private download "$@")
for package in "$apt"/packages/*.deb; do
    dpkg-deb -x "$package" "$new"
done
# Links from the root on are meant from this one.
find "$new" -type l -lname '/*' | while read -r link; do
    ln -sfn "$folder$(readlink "$link")" "$link"
done
rm -rf "$folder" "$apt"
mv "$new" "$folder"
