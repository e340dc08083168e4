@main struct Ltp { static func main() {} }
