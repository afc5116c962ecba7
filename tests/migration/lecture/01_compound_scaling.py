# 복합 스케일링: 깊이 d = alpha^phi, 너비 w = beta^phi, 해상도 r = gamma^phi
alpha, beta, gamma = 1.2, 1.1, 1.15
print(f"alpha * beta^2 * gamma^2 = {alpha * beta**2 * gamma**2:.3f}")  # 2에 가깝다

for phi in range(8):
    depth, width, resolution = alpha**phi, beta**phi, gamma**phi
    print(f"B{phi}: depth {depth:.2f}  width {width:.2f}  resolution {224 * resolution:.0f}")
