#!/bin/sh
# Unpack Debian's development packages of another architecture under build/sysroot-ARCH, so that the
# engines and their unit tests can be built for it. The machine's own dpkg is left as it is: no
# foreign architecture is added, nothing is installed; apt runs with directories of its own.
#
#   tools/sysroot.sh i386|s390x|musl
#
# musl: nettle and cmocka are built from Debian's source packages with musl-gcc.
set -eu

arch=${1:?which architecture}
here=$(cd "$(dirname "$0")/.." && pwd)
root=$here/build/sysroot-$arch
stamp=$root/.complete
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
recipe=5 # raise it when what is unpacked changes

[ "$(cat "$stamp" 2>/dev/null)" = "$recipe" ] && exit 0
rm -rf "$root"
mkdir -p "$root/apt/lists/partial" "$root/apt/cache/archives/partial" "$root/apt/parts" "$root/deb"
: >"$root/apt/status"

# The mirrors this machine uses for Debian itself, whatever form its sources have. Deb822 sources
# and one-line sources look the same here.
mirrors=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' \
    'Created-By: Packages' | awk '$4 == "Debian" && $2 !~ /-security/ { print $1, $2, $3 }' | sort -u)
if [ -z "$mirrors" ]; then
    echo "sysroot.sh: no Debian package lists; run apt-get update first" >&2
    exit 1
fi
kind=deb
[ "$arch" = musl ] && kind=deb-src
echo "$mirrors" | while read -r uri release component; do
    echo "$kind [signed-by=$keyring] $uri $release $component"
done >"$root/apt/sources.list"

apt_arch=$arch
[ "$arch" = musl ] && apt_arch=$(dpkg --print-architecture)
private_apt() {
    apt-get -q -o Dir::Etc::sourcelist="$root/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State="$root/apt" -o Dir::State::lists="$root/apt/lists" \
        -o Dir::State::status="$root/apt/status" -o Dir::Cache="$root/apt/cache" \
        -o APT::Architecture="$apt_arch" -o APT::Architectures="$apt_arch" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

exec 3>&1 >"$root/log" 2>&1
trap 'rc=$?; [ $rc = 0 ] || { echo "sysroot.sh $arch failed:"; tail -n 20 "$root/log"; } >&3' EXIT

private_apt update
cd "$root/deb"
if [ "$arch" != musl ]; then
    private_apt download nettle-dev libnettle8 libcmocka-dev libcmocka0
    for deb in *.deb; do
        dpkg-deb -x "$deb" "$root"
    done
else
    private_apt --download-only source nettle cmocka
    for dsc in *.dsc; do
        dpkg-source --no-check -x "$dsc"
    done >/dev/null
    (
        cd nettle-*/
        # The patches make configure.ac younger than what is made from it.
        touch aclocal.m4 config.h.in stamp-h.in configure
        ./configure CC=musl-gcc CFLAGS='-O2 -g' --prefix="$root/usr" --libdir="$root/usr/lib" \
            --disable-shared --disable-public-key --disable-documentation --disable-openssl \
            --disable-assembler >configure.out
        make -j2 libnettle.a nettle.pc >make.out 2>&1
        make install-headers >>make.out 2>&1
        mkdir -p "$root/usr/lib/pkgconfig"
        cp libnettle.a "$root/usr/lib/"
        cp nettle.pc "$root/usr/lib/pkgconfig/"
    )
    # cmocka is one file; its own build wants cmake for little more than config.h.
    (
        cd cmocka-*/
        mkdir -p "$root/usr/include" "$root/usr/lib/pkgconfig"
        cat >config.h <<'CONFIG'
#define HAVE_ASSERT_H 1
#define HAVE_INTTYPES_H 1
#define HAVE_MALLOC_H 1
#define HAVE_SETJMP_H 1
#define HAVE_SIGNAL_H 1
#define HAVE_STDARG_H 1
#define HAVE_STDDEF_H 1
#define HAVE_STDINT_H 1
#define HAVE_STDIO_H 1
#define HAVE_STDLIB_H 1
#define HAVE_STRINGS_H 1
#define HAVE_STRING_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_TIME_H 1
#define HAVE_UNISTD_H 1
#define HAVE_STRUCT_TIMESPEC 1
#define HAVE_CALLOC 1
#define HAVE_EXIT 1
#define HAVE_FPRINTF 1
#define HAVE_FREE 1
#define HAVE_LONGJMP 1
#define HAVE_MALLOC 1
#define HAVE_MEMCPY 1
#define HAVE_MEMSET 1
#define HAVE_PRINTF 1
#define HAVE_SETJMP 1
#define HAVE_SIGNAL 1
#define HAVE_SNPRINTF 1
#define HAVE_STRCMP 1
#define HAVE_STRCPY 1
#define HAVE_STRSIGNAL 1
#define HAVE_VSNPRINTF 1
#define HAVE_CLOCK_GETTIME 1
#define HAVE_CLOCK_REALTIME 1
#define HAVE_GCC_THREAD_LOCAL_STORAGE 1
CONFIG
        musl-gcc -O2 -g -DHAVE_CONFIG_H -I. -Iinclude -c src/cmocka.c -o cmocka.o
        ar rcs "$root/usr/lib/libcmocka.a" cmocka.o
        cp include/cmocka.h "$root/usr/include/"
        cat >"$root/usr/lib/pkgconfig/cmocka.pc" <<PC
Name: cmocka
Description: unit testing framework for C
Version: 1.1.7
Libs: -L$root/usr/lib -lcmocka
Cflags: -I$root/usr/include
PC
    )
fi
# Package files that name /usr are made to name the place they were unpacked to.
find "$root/usr" -name '*.pc' -exec \
    sed -i "s|^prefix=/usr\$|prefix=$root/usr|; s|-L/usr/|-L$root/usr/|; s|-I/usr/|-I$root/usr/|" {} +
rm -rf "$root/apt" "$root/deb"
# tools/cross/ARCH.ini stands on this: meson 1.0 has no name for the source directory there.
printf "[constants]\nroot = '%s/usr'\n" "$root" >"$root/root.ini"
echo "$recipe" >"$stamp"
