#!/usr/bin/env python3
"""Other solvers on the knapsack problems that bench_solver dumps.

Usage: peers.py FOLDER [SECONDS]   (bench_solver --dump FOLDER)

HiGHS through scipy.optimize.milp, CBC and GLPK by their programs, gaps set to 0, 30 seconds each if
not told otherwise; what is not installed is skipped. They get the undominated items only, scaled.
Prints seconds and how far the plan is above our optimum; costs and weights are summed again from the
plan, and a plan over the budget is called so. A star: the time was up.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
except ImportError as missing:
    print(f'peers: {missing}; skipped')
    sys.exit(0)
try:
    from scipy import sparse
    from scipy.optimize import Bounds, LinearConstraint, milp
except ImportError:
    milp = None

LIMIT = int(sys.argv[2]) if len(sys.argv) > 2 else 30
PACKAGES = {'HiGHS': 'python3-scipy', 'CBC': 'coinor-cbc', 'GLPK': 'glpk-utils'}
PROGRAMS = {'CBC': 'cbc', 'GLPK': 'glpsol'}


def load(path):
    raw = np.fromfile(path, '<u8')
    n, k, b = (int(x) for x in raw[:3])
    budgets = raw[3:3 + b]
    optima = raw[3 + b:3 + 2 * b].view('<f8')
    us = raw[3 + 2 * b:3 + 3 * b].view('<f8')
    at = 3 + 3 * b
    weight = raw[at:at + n * k].reshape(n, k)
    cost = raw[at + n * k:at + 2 * n * k].view('<f8').reshape(n, k)
    return budgets, optima, us, weight, cost


def undominated(weight, cost):
    """Columns per row that no lighter one undercuts: what any solver would be handed."""
    keep = []
    for w, e in zip(weight, cost):
        best, row = np.inf, []
        for j in np.lexsort((e, w)):
            if e[j] < best:
                best = e[j]
                row.append(j)
        keep.append(row)
    return keep


def scaled(weight, cost, keep, budget):
    """Flat costs about 1, weights above the lightest plan in units of their common divisor."""
    least = [int(weight[i][row[0]]) for i, row in enumerate(keep)]
    rise = [np.array([int(weight[i][j]) - least[i] for j in row]) for i, row in enumerate(keep)]
    unit = max(1, int(np.gcd.reduce(np.concatenate(rise))))
    flat = np.concatenate([cost[i][row] for i, row in enumerate(keep)])
    scale = np.median([row.max() for row in cost])
    return flat / scale, np.concatenate(rise) // unit, (int(budget) - sum(least)) // unit


def highs(c, w, room, keep):
    starts = np.repeat(np.arange(len(keep)), [len(row) for row in keep])
    pick = sparse.csr_matrix((np.ones(len(c)), (starts, np.arange(len(c)))))
    result = milp(c, integrality=np.ones(len(c)), bounds=Bounds(0, 1),
                  constraints=[LinearConstraint(pick, 1, 1),
                               LinearConstraint(sparse.csr_matrix(w.astype(float)), 0, room)],
                  options={'time_limit': LIMIT, 'mip_rel_gap': 0})
    return result.x


def write_lp(path, c, w, room, keep):
    with open(path, 'w') as f:
        f.write('Minimize\n obj: ' + '\n + '.join(f'{x:.17g} x{t}' for t, x in enumerate(c)))
        f.write('\nSubject To\n')
        f.write(' room: ' + '\n + '.join(f'{x} x{t}' for t, x in enumerate(w) if x))
        f.write(f' <= {room}\n')
        t = 0
        for i, row in enumerate(keep):
            f.write(f' c{i}: ' + ' + '.join(f'x{t + j}' for j in range(len(row))) + ' = 1\n')
            t += len(row)
        f.write('Binary\n' + '\n'.join(f' x{t}' for t in range(len(c))) + '\nEnd\n')


def by_program(name, lp, n):
    out = lp + '.' + name
    command = (['cbc', lp, 'ratio', '0', 'sec', str(LIMIT), 'solve', 'solution', out]
               if name == 'CBC' else
               ['glpsol', '--lp', lp, '--tmlim', str(LIMIT), '--mipgap', '0', '-w', out])
    subprocess.run(command, stdout=subprocess.DEVNULL, timeout=4 * LIMIT + 60, check=False)
    if not os.path.exists(out):
        return None
    x = np.zeros(n)
    with open(out) as f:
        for line in f:
            cbc = re.match(r'(?:\*\*)?\s*\d+\s+x(\d+)\s+(\S+)', line)
            glpk = re.match(r'j (\d+) (\S+)', line)
            if name == 'CBC' and cbc:
                x[int(cbc[1])] = float(cbc[2])
            elif name == 'GLPK' and glpk:
                x[int(glpk[1]) - 1] = float(glpk[2])
    return x


def judge(x, keep, weight, cost, budget, optimum):
    if x is None:
        return 'no plan'
    t, total_w, total_e = 0, 0, 0.0
    for i, row in enumerate(keep):
        part = x[t:t + len(row)]
        if part.max() < 0.5:
            return 'no plan'
        j = row[int(part.argmax())]
        total_w += int(weight[i][j])
        total_e += cost[i][j]
        t += len(row)
    over = total_w - int(budget)
    excess = f'{total_e / optimum - 1:+.1e}'
    return f'{over} bits over' if over > 0 else excess


def solve(name, problem, lp):
    c, w, room, keep = problem
    start = time.monotonic()
    x = highs(c, w, room, keep) if name == 'HiGHS' else by_program(name, lp, len(c))
    return x, time.monotonic() - start


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    there = {'HiGHS': milp is not None, 'CBC': shutil.which('cbc'), 'GLPK': shutil.which('glpsol')}
    for name in there:
        if not there[name]:
            print(f'{name}: skipped, {PACKAGES[name]} is not installed')
    names = [name for name in there if there[name]]
    print(f'{"table":16} {"bitplan":>11}  ' + '  '.join(f'{name + ", above ours":>24}' for name in names))
    for path in sorted(glob.glob(os.path.join(sys.argv[1], '*.bin'))):
        budgets, optima, us, weight, cost = load(path)
        keep = undominated(weight, cost)
        for budget, optimum, ours in zip(budgets, optima, us):
            problem = *scaled(weight, cost, keep, budget), keep
            row = f'{os.path.basename(path)[:-4]:16} {ours * 1e-3:8.3f} ms  '
            with tempfile.TemporaryDirectory() as tmp:
                lp = os.path.join(tmp, 'p.lp')
                if set(names) & set(PROGRAMS):
                    write_lp(lp, *problem)
                for name in names:
                    x, took = solve(name, problem, lp)
                    verdict = judge(x, keep, weight, cost, budget, optimum)
                    star = '*' if took > LIMIT else ' '
                    row += f'{took:7.2f} s{star} {verdict:>14}  '
            print(row.rstrip(), flush=True)


if __name__ == '__main__':
    main()
