"""Power cut by replay: the server runs under strace; every write, truncate, sync, unlink and
rename in the data directory is replayed up to a chosen instant, once with everything kept
(process crash) and once with what was never synced thrown away (power cut).  The image is
opened by a fresh server and compared with what had been acknowledged by then.
Linux + strace.  Not simulated: reordering inside one un-synced file (all of it is lost)."""
import re, glob
from relcommon import *
p = parser(__doc__); p.add_argument('--n', type=int, default=2500); p.add_argument('--batch', type=int, default=25); p.add_argument('--cuts', type=int, default=12); p.add_argument('--strace-dir', required=True)
p.add_argument('--lenient-unlink', action='store_true', help='an unlink is durable at once (most journalling file systems within seconds)')
a = p.parse_args(); D = a.dim; S = Server(a); S.fresh(); shutil.rmtree(a.strace_dir, ignore_errors=True); os.makedirs(a.strace_dir)
S.start(wait=60, prefix=['strace', '-ff', '-ttt', '-T', '-y', '-xx', '-s', '4000000', '--seccomp-bpf', '-e', 'trace=openat,openat2,open,creat,write,pwrite64,pwritev,pwritev2,writev,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,msync,unlink,unlinkat,rename,renameat,renameat2,mkdir,close,lseek', '-o', a.strace_dir + '/t'])
h = S.http(120); c = mkcoll(h, 'cut'); U = BASE + '/collections/%s/' % c; acks = []
for o in range(0, a.n, a.batch):
    ids = ['p%d' % i for i in range(o, o + a.batch)]; h.ok('POST', U + 'add', dict(ids=ids, embeddings=[vec(i, 1, D) for i in ids], documents=ids, metadatas=[dict(i=i) for i in ids])); acks.append((time.time(), ids))
time.sleep(0.5); tend = time.time(); S.kill()
dec = lambda s: bytes.fromhex(s.replace('\\x', ''))
unq = lambda s: dec(s).decode('utf-8', 'replace')
ev = []
for f in glob.glob(a.strace_dir + '/t.*'):
    for l in open(f, errors='replace'):
        m = re.match(r'(\d+\.\d+) (\w+)\((.*)\)\s+= (-?\d+|0x[0-9a-f]+)(.*)$', l)
        if not m: continue
        t, name, args, ret, tail = m.groups(); ret = int(ret, 0)
        if ret < 0: continue
        T = re.search(r'<(\d+\.\d+)>\s*$', tail); ev.append((float(t) + float(T.group(1) if T else 0), name, args, ret, tail))
ev.sort(key=lambda e: e[0]); root = S.dir.rstrip('/'); pos = {}; sync = {}
def fdpath(s):
    m = re.match(r'(\d+)<([^>]*)>', s)
    if not m: return None, None
    q = m.group(2); q = unq(q) if q.startswith('\\x') else q
    return m.group(1), q.replace(a.root, '', 1) if a.root and q.startswith(a.root) else q
def name_at(where, name):
    """A path as the caller means it: `where` is its directory's descriptor, as strace -y shows it."""
    if name.startswith('/') or not where: return name
    q = where.group(1); q = unq(q) if q.startswith('\\x') else q
    if a.root and q.startswith(a.root): q = q.replace(a.root, '', 1)
    return q if name == '.' else q.rstrip('/') + '/' + name
def names_of(args):
    """Every path in a call's arguments, each relative to the descriptor before it."""
    return [name_at(re.match(r'(?:\d+|AT_FDCWD)<([^>]*)>$', d) if d else None, unq(n))
            for d, n in re.findall(r'(?:((?:\d+|AT_FDCWD)(?:<[^>]*>)?), )?"((?:\\x[0-9a-f]{2})*)"', args)]
def build(until, power):
    vol, dur, cnt = {}, {}, {}; pos.clear(); gone = set(); moved = []    # moved: renames not yet made durable by a directory sync
    for t, name, args, ret, tail in ev:
        if t > until: break
        if name in ('openat', 'openat2', 'open', 'creat'):
            q = (names_of(args) or [''])[0]
            if not q.startswith(root): continue
            if 'O_CREAT' in args or name == 'creat': vol.setdefault(q, bytearray()); 
            if 'O_TRUNC' in args and q in vol: vol[q] = bytearray()
            m2 = re.match(r'<([^>]*)>', tail.strip()); pos[str(ret)] = len(vol.get(q, b'')) if 'O_APPEND' in args else 0
        elif name in ('write', 'pwrite64'):
            fd, q = fdpath(args)
            if not q or not q.startswith(root): continue
            m = re.search(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?, (\d+)(?:, (\d+))?', args); b = dec(m.group(1))[:ret]; o = int(m.group(4)) if name == 'pwrite64' else pos.get(fd, 0)
            v = vol.setdefault(q, bytearray())
            if len(v) < o: v.extend(b'\0' * (o - len(v)))
            v[o:o + len(b)] = b
            if name == 'write': pos[fd] = o + len(b)
        elif name == 'writev':
            fd, q = fdpath(args)
            if not q or not q.startswith(root): continue
            b = b''.join(dec(x) for x in re.findall(r'iov_base="((?:\\x[0-9a-f]{2})*)"', args))[:ret]; o = pos.get(fd, 0); v = vol.setdefault(q, bytearray()); v.extend(b'\0' * max(0, o - len(v))); v[o:o + len(b)] = b; pos[fd] = o + len(b)
        elif name in ('pwritev', 'pwritev2'):
            fd, q = fdpath(args)
            if not q or not q.startswith(root): continue
            b = b''.join(dec(x) for x in re.findall(r'iov_base="((?:\\x[0-9a-f]{2})*)"', args))[:ret]; o = int(re.search(r'\], \d+, (\d+)', args).group(1))
            v = vol.setdefault(q, bytearray()); v.extend(b'\0' * max(0, o - len(v))); v[o:o + len(b)] = b
        elif name == 'fallocate':
            fd, q = fdpath(args); x = [y.strip() for y in args.split(',')]
            if not q or not q.startswith(root): continue
            v = vol.setdefault(q, bytearray()); o, n = int(x[-2]), int(x[-1])
            if 'PUNCH_HOLE' in x[1] or 'ZERO_RANGE' in x[1]: e = min(len(v), o + n); v[o:e] = b'\0' * max(0, e - o)
            if 'KEEP_SIZE' not in x[1]: v.extend(b'\0' * max(0, o + n - len(v)))
        elif name == 'truncate':
            m = re.search(r'"((?:\\x[0-9a-f]{2})*)", (\d+)', args); q = unq(m.group(1)); n = int(m.group(2))
            if q.startswith(root): v = vol.setdefault(q, bytearray()); del v[n:]; v.extend(b'\0' * (n - len(v)))
        elif name == 'lseek':
            fd, q = fdpath(args); pos[fd] = ret
        elif name == 'ftruncate':
            fd, q = fdpath(args)
            if q and q.startswith(root): n = int(args.rsplit(',', 1)[1]); v = vol.setdefault(q, bytearray()); del v[n:]; v.extend(b'\0' * (n - len(v)))
        elif name in ('fsync', 'fdatasync'):
            fd, q = fdpath(args)
            if not q or not q.startswith(root): continue
            cnt[os.path.basename(q) if q != root else '(directory)'] = cnt.get(os.path.basename(q) if q != root else '(directory)', 0) + 1
            if q in vol:
                old = next((o for o, n in moved if n == q), None)
                dur[old or q] = bytes(vol[q]); gone.discard(q)       # a file synced under a name that is not durable yet survives under the old one
            else:                                     # directory sync: unlinks in it become durable
                for g in list(gone):
                    if os.path.dirname(g) == q: dur.pop(g, None); gone.discard(g)
                for old, new in [m for m in moved if os.path.dirname(m[1]) == q]:
                    moved.remove((old, new))
                    if old in dur: dur[new] = dur.pop(old)
        elif name in ('unlink', 'unlinkat'):
            q = names_of(args)[0]
            if q in vol:
                vol.pop(q)
                if a.lenient_unlink: dur.pop(q, None)
                else: gone.add(q)
        elif name.startswith('rename'):
            x = names_of(args)
            if len(x) == 2 and x[0] in vol: vol[x[1]] = vol.pop(x[0]); moved.append((x[0], x[1]))   # lost by a power cut until the directory is synced
    img = dict(dur) if power else {k: bytes(v) for k, v in vol.items()}
    if power:
        for q in vol:
            if q not in img: img[q] = b''             # created but never synced: an empty file remains
    return img, cnt, {os.path.basename(q): len(v) for q, v in vol.items() if bytes(v) != dur.get(q)}
R = random.Random(a.seed); cuts = sorted(R.sample(range(len(acks)), min(a.cuts - 1, len(acks)))) + [len(acks) - 1]; out = []
for power in (False, True):
    for k in cuts:
        img, cnt, unsynced = build(acks[k][0] if k < len(acks) - 1 else tend, power); S.fresh()
        for q, b in img.items(): os.makedirs(os.path.dirname(a.root + q), exist_ok=True); open(a.root + q, 'wb').write(b)
        r = dict(power=power, acked=(k + 1) * a.batch, cut_ack=k, unsynced_files=unsynced); ids = [i for _, l in acks[:k + 1] for i in l]
        try:
            r['start_s'] = S.start(wait=20); hh = S.http(30); n = 0
            for o in range(0, len(ids), 500): n += len(hh.ok('POST', U + 'get', dict(ids=ids[o:o+500], limit=1000, include=[]))['ids'])
            r['missing_get'] = len(ids) - n
            sm = R.sample(ids, min(80, len(ids))); r['query_miss'] = '%d/%d' % (sum(i not in hh.ok('POST', U + 'query', dict(query_embeddings=[vec(i, 1, D)], n_results=3, include=[]))['ids'][0] for i in sm), len(sm))
        except Exception as e: time.sleep(.2); r['error'] = ('server died: ' if not S.alive() else '') + str(e)[-200:]
        S.kill(); out.append(r); print(json.dumps(r), flush=True)
_, cnt, _ = build(tend, False)
names = {}
for t, name, args, ret, tail in ev: names[name] = names.get(name, 0) + 1
finish(a, dict(adds=len(acks), records=a.n, fsyncs_by_file=cnt, syscalls=names, cuts=out))
