#!/bin/sh
# For go test -fuzz -toolexec: only passgate's own packages are instrumented. Go instruments all that is linked,
# and then spends most of a run on clearing and comparing the counters of gRPC and CEL.
tool=$1
shift
case "$*" in
*-V=full*) # names the tool in the build cache
	echo "$("$tool" "$@") own"
	exit
	;;
esac
case "$tool $*" in
*/compile\ *-p\ github.com/passgate/passgate/*) ;;
*/compile\ *)
	for argument; do
		shift
		[ "$argument" = -d=libfuzzer ] || set -- "$@" "$argument"
	done
	;;
esac
exec "$tool" "$@"
